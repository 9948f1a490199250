"""Reading and writing typed headers."""

from typing import Literal

import pytest

from mqguard.remoting.command import HeaderInvalid
from mqguard.remoting.headers.codec import Header, Int32, Int64, read, write


class Sample(Header):
    topic: str
    queue_id: Int32
    offset: Int64 = -1
    order: bool = False
    tag: str | None = None
    bound: Literal["LOWER", "UPPER"] = "LOWER"


def test_texts_become_values() -> None:
    ext = {"topic": "12", "queueId": "-3", "offset": "9223372036854775807", "order": "TRUE", "other": "x"}
    assert read(ext, Sample) == Sample(topic="12", queue_id=-3, offset=2**63 - 1, order=True)


def test_none_is_left_out_and_booleans_are_javas() -> None:
    assert write(Sample(topic="t", queue_id=0, order=True)) == {
        "topic": "t",
        "queueId": "0",
        "offset": "-1",
        "order": "true",
        "bound": "LOWER",
    }
    assert write(Sample(topic="t", queue_id=0, tag=""))["tag"] == ""
    assert write(Sample(topic="t", queue_id=0))["order"] == "false"


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"topic": None}, "topic", "is missing"),
        ({"queueId": None}, "queueId", "is missing"),
        ({"queueId": ""}, "queueId", "`` is not a whole number"),
        ({"queueId": "1x"}, "queueId", "`1x` is not a whole number"),
        ({"queueId": "1.5"}, "queueId", "`1.5` is not a whole number"),
        ({"queueId": "2147483648"}, "queueId", "`2147483648` is out of range"),
        ({"offset": "-9223372036854775809"}, "offset", "`-9223372036854775809` is out of range"),
        ({"order": "yes"}, "order", "`yes` is neither `true` nor `false`"),
        ({"bound": "MIDDLE"}, "bound", "`MIDDLE` has the wrong type"),
        ({"queueId": "9" * 100}, "queueId", f"`{'9' * 64}` is out of range"),
    ],
)
def test_the_field_at_fault_is_named(change: dict[str, str | None], field: str, why: str) -> None:
    ext = {"topic": "t", "queueId": "0"} | change
    with pytest.raises(HeaderInvalid) as caught:
        read({name: value for name, value in ext.items() if value is not None}, Sample)
    assert (caught.value.field, caught.value.why) == (field, why)
    assert str(caught.value) == f"header field `{field}`: {why}"
