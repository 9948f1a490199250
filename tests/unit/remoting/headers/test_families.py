"""Every typed header: its names on the wire are those of the Java classes, and it survives a round trip."""

import importlib
import pkgutil

import msgspec
import pytest

from mqguard.remoting import headers
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import HeaderInvalid
from mqguard.remoting.headers.codec import Header, read, write
from mqguard.remoting.headers.pull import PullAnswer, QueryMessageHeader
from mqguard.remoting.headers.send import SendAnswer, SendHeader, read_send
from mqguard.remoting.headers.topics import ResetOffsetHeader

MODULES = [
    importlib.import_module(f"{headers.__name__}.{found.name}") for found in pkgutil.iter_modules(headers.__path__)
]
TYPES = sorted(
    {
        kind
        for module in MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Header) and kind is not Header
    },
    key=lambda kind: kind.__name__,
)


def sample(kind: type[Header]) -> Header:
    values: dict[str, object] = {}
    for number, field in enumerate(msgspec.structs.fields(kind)):
        kinds = str(field.type)
        values[field.name] = True if "bool" in kinds else number + 1 if "int" in kinds else f"text-{number}"
    return kind(**values)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_it_survives_a_round_trip(kind: type[Header]) -> None:
    header = sample(kind)
    ext = write(header)
    assert set(ext) == set(kind.__struct_encode_fields__)
    assert read(ext, kind) == header


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_needed_field_is_missed_by_name(kind: type[Header]) -> None:
    ext = write(sample(kind))
    for field in msgspec.structs.fields(kind):
        if field.required:
            rest = {name: value for name, value in ext.items() if name != field.encode_name}
            with pytest.raises(HeaderInvalid, match=f"`{field.encode_name}`: is missing"):
                read(rest, kind)


LONG = {
    "producerGroup": "PID_demo", "topic": "TopicTest", "defaultTopic": "TBW102", "defaultTopicQueueNums": "4",
    "queueId": "2", "sysFlag": "0", "bornTimestamp": "1700000000000", "flag": "0", "properties": "KEYS\x01k1\x02",
    "reconsumeTimes": "0", "unitMode": "false", "batch": "false", "bname": "broker-a",
}  # fmt: skip
SHORT = dict(zip("abcdefghijkmn", LONG.values(), strict=True))


@pytest.mark.parametrize(
    ("code", "ext", "other"),
    [
        (RequestCode.SEND_MESSAGE, LONG, SHORT),
        (RequestCode.SEND_REPLY_MESSAGE, LONG, SHORT),
        (RequestCode.SEND_MESSAGE_V2, SHORT, LONG),
        (RequestCode.SEND_BATCH_MESSAGE, SHORT, LONG),
        (RequestCode.SEND_REPLY_MESSAGE_V2, SHORT, LONG),
    ],
)
def test_both_spellings_of_a_send_are_one_header(code: int, ext: dict[str, str], other: dict[str, str]) -> None:
    header = read_send(code, ext)
    assert isinstance(header, SendHeader)
    assert (header.producer_group, header.topic, header.queue_id) == ("PID_demo", "TopicTest", 2)
    assert (header.born_timestamp, header.properties) == (1700000000000, "KEYS\x01k1\x02")
    assert (header.unit_mode, header.batch, header.max_reconsume_times) == (False, False, None)
    assert header.bname == "broker-a"
    with pytest.raises(HeaderInvalid):
        read_send(code, other)


def test_a_send_answer_has_the_names_of_the_wire() -> None:
    assert write(SendAnswer(msg_id="7F", queue_id=1, queue_offset=5)) == {
        "msgId": "7F",
        "queueId": "1",
        "queueOffset": "5",
    }


def test_a_pull_answer_is_spelt_as_java_needs_it() -> None:
    answer = PullAnswer(suggest_which_broker_id=0, next_begin_offset=1, min_offset=2, max_offset=3)
    assert write(answer) == {"suggestWhichBrokerId": "0", "nextBeginOffset": "1", "minOffset": "2", "maxOffset": "3"}


def test_the_unique_key_query_is_not_part_of_the_header() -> None:
    ext = {"topic": "t", "key": "k", "maxNum": "64", "beginTimestamp": "0", "endTimestamp": "9"}
    assert not read(ext, QueryMessageHeader).unique
    assert read(ext | {"_UNIQUE_KEY_QUERY": "true"}, QueryMessageHeader).unique


def test_a_reset_without_a_queue_is_for_all() -> None:
    header = read({"group": "g", "topic": "t", "timestamp": "-1", "isForce": "true"}, ResetOffsetHeader)
    assert (header.queue_id, header.offset) == (-1, None)
