"""Consumer groups as values."""

import msgspec
import pytest

from mqguard.model.topic import SubscriptionGroupConfig, group_config_fault


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, None),
        ({"retry_queues": 0, "retry_max_times": -1}, None),
        ({"retry_queues": 129}, "retryQueueNums of group `g` is `129`; it must be 0 to 128"),
        ({"retry_max_times": -2}, "retryMaxTimes of group `g` is `-2`"),
        ({"consume_timeout_minutes": 0}, "consumeTimeoutMinute of group `g` is `0`"),
    ],
)
def test_numbers_are_checked(fields, words):
    fault = group_config_fault(SubscriptionGroupConfig("g", **fields))
    assert fault == words or fault.startswith(words)


def test_a_group_survives_json():
    group = SubscriptionGroupConfig("g", retry_policy={"type": "CUSTOMIZED", "next": [1, 2]}, attributes={"a": "b"})
    assert msgspec.json.decode(msgspec.json.encode(group), type=SubscriptionGroupConfig) == group
