"""Retry policies of groups in the form of gRPC clients."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.proxy.grpc.backoff import BACKOFF_SECONDS, MAX_DELAY_MS, consumer_policy
from mqguard.proxy.grpc.messages import milliseconds
from mqguard.rpc.protocol import messages_pb2 as pb

DEFAULT = [seconds * 1000 for seconds in BACKOFF_SECONDS]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = st.sampled_from(
    ["type", "exponentialRetryPolicy", "customizedRetryPolicy", "next", "initial", "max", "multiplier"]
)


def policy(value: Any, retries: int = 16) -> pb.RetryPolicy:
    return consumer_policy(SubscriptionGroupConfig("g", retry_max_times=retries, retry_policy=value))


def delays(found: pb.RetryPolicy) -> list[int]:
    return [milliseconds(one) for one in found.customized_backoff.next]


@given(st.lists(st.integers(0, MAX_DELAY_MS), min_size=1, max_size=20), st.integers(-1, 100))
def test_the_delays_of_the_group_are_those_of_its_clients(chosen: list[int], retries: int) -> None:
    found = policy({"type": "CUSTOMIZED", "customizedRetryPolicy": {"next": chosen}}, retries)
    assert delays(found) == chosen
    assert found.max_attempts == max(1, retries + 1)


@given(st.integers(1, 10_000), st.integers(10_000, MAX_DELAY_MS), st.integers(1, 10))
def test_an_exponential_policy_stays_one(initial: int, most: int, multiplier: int) -> None:
    value = {"initial": initial, "max": most, "multiplier": multiplier}
    backoff = policy({"type": "EXPONENTIAL", "exponentialRetryPolicy": value}).exponential_backoff
    assert (milliseconds(backoff.initial), milliseconds(backoff.max), backoff.multiplier) == (initial, most, multiplier)


@pytest.mark.parametrize(
    "value",
    [
        None, {}, {"type": "OTHER"}, {"customizedRetryPolicy": {"next": []}},
        {"customizedRetryPolicy": {"next": [1000, -1]}}, {"customizedRetryPolicy": {"next": "x"}},
        {"type": "EXPONENTIAL", "exponentialRetryPolicy": {"initial": 0}},
        {"type": "EXPONENTIAL", "exponentialRetryPolicy": {"initial": 9, "max": 1}},
    ],
)  # fmt: skip
def test_anything_else_gives_the_default(value: Any) -> None:
    assert delays(policy(value)) == DEFAULT


@given(st.dictionaries(KEYS | st.text(max_size=5), st.dictionaries(KEYS, JSON, max_size=3) | JSON, max_size=4))
def test_any_stored_policy_gives_one(value: dict[str, Any]) -> None:
    found = policy(value)
    backoff = found.exponential_backoff
    times = [*delays(found), milliseconds(backoff.initial), milliseconds(backoff.max)]
    assert found.WhichOneof("strategy")
    assert all(0 <= one <= MAX_DELAY_MS for one in times)
