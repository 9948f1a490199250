"""Topics as values."""

import msgspec
import pytest

from mqguard.model.topic import AttributesInvalid, TopicConfig, change_attributes, perm_fault


def test_permissions():
    assert TopicConfig("t", perm=4).readable
    assert not TopicConfig("t", perm=4).writable
    assert not TopicConfig("t", perm=2).readable
    assert TopicConfig("t", perm=2).writable
    assert perm_fault(6) is perm_fault(0) is perm_fault(15) is None
    assert "unknown bits" in perm_fault(16)
    assert "unknown bits" in perm_fault(-1)


def test_the_larger_number_of_queues_counts():
    assert TopicConfig("t", 2, 5).queues == TopicConfig("t", 5, 2).queues == 5


def test_attributes_are_added_changed_and_removed():
    assert change_attributes({}, "+message.type=FIFO,+cleanup.policy=DELETE") == {
        "message.type": "FIFO",
        "cleanup.policy": "DELETE",
    }
    before = {"message.type": "FIFO"}
    assert change_attributes(before, "+message.type=DELAY") == {"message.type": "DELAY"}
    assert change_attributes(before, " -message.type , ") == {}
    assert change_attributes(before, "") == before == {"message.type": "FIFO"}
    assert change_attributes({}, "+reserve.time=-1") == {"reserve.time": "-1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("message.type=FIFO", "neither `\\+` nor `-`"),
        ("+message.type=FAST", "must be one of"),
        ("+unknown=1", "unknown topic attribute `unknown`: use one of"),
        ("+reserve.time=soon", "whole number"),
        ("+message.type", "must be one of"),
    ],
)
def test_illegal_changes_say_what_would_be_right(change, words):
    with pytest.raises(AttributesInvalid, match=words):
        change_attributes({}, change)


def test_a_topic_survives_json():
    topic = TopicConfig("t", 3, 4, 5, "MULTI_TAG", 1, order=True, attributes={"message.type": "FIFO"})
    assert msgspec.json.decode(msgspec.json.encode(topic), type=TopicConfig) == topic
    assert msgspec.json.encode(TopicConfig("t")) == b'{"name":"t"}'
