"""Retry policies: when producers send again, and when consumers get a message again that they could not process.

Clients count the time themselves. A consumer asks for the delay of its attempt by `ChangeInvisibleDuration`.
"""

from typing import Final

import msgspec
from google.protobuf.duration_pb2 import Duration

from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.proxy.grpc.messages import duration
from mqguard.rpc.protocol import messages_pb2 as pb

BACKOFF_SECONDS: Final = (1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200)
"""Delays of consumers that have failed, by attempt: Apache's levels of delayed messages."""
MAX_DELAY_MS: Final = 12 * 3600 * 1000
"""Maximum delay that a policy may name: the maximum invisible time."""
SEND_ATTEMPTS: Final = 3
SEND_INITIAL_MS: Final = 10
SEND_MAX_MS: Final = 1_000


class _Exponential(msgspec.Struct, rename="camel"):
    initial: int = 5_000
    max: int = 2 * 3600 * 1000
    multiplier: int = 2


class _Customized(msgspec.Struct, rename="camel"):
    next: tuple[int, ...] = tuple(seconds * 1000 for seconds in BACKOFF_SECONDS)


class _GroupRetryPolicy(msgspec.Struct, rename="camel"):
    """The object `groupRetryPolicy` of a group (Apache: `GroupRetryPolicy`)."""

    type: str = "CUSTOMIZED"
    exponential_retry_policy: _Exponential | None = None
    customized_retry_policy: _Customized | None = None


def producer_policy() -> pb.RetryPolicy:
    """Return the policy by which producers send again. The client for Java accepts only this kind."""
    return pb.RetryPolicy(
        max_attempts=SEND_ATTEMPTS,
        exponential_backoff=pb.ExponentialBackoff(
            initial=duration(SEND_INITIAL_MS), max=duration(SEND_MAX_MS), multiplier=2
        ),
    )


def consumer_policy(group: SubscriptionGroupConfig) -> pb.RetryPolicy:
    """Return the policy by which consumers of a group try again.

    A stored policy that names nothing valid gives the default: it may come from any administrator's tool.
    """
    attempts = max(1, group.retry_max_times + 1)
    try:
        found = msgspec.convert(group.retry_policy or {}, _GroupRetryPolicy)
    except msgspec.ValidationError:
        found = _GroupRetryPolicy()
    exponential = found.exponential_retry_policy or _Exponential()
    if found.type == "EXPONENTIAL" and 0 < exponential.initial <= exponential.max and exponential.multiplier > 0:
        backoff = pb.ExponentialBackoff(
            initial=_delay(exponential.initial), max=_delay(exponential.max), multiplier=exponential.multiplier
        )
        return pb.RetryPolicy(max_attempts=attempts, exponential_backoff=backoff)
    delays = (found.customized_retry_policy or _Customized()).next if found.type == "CUSTOMIZED" else ()
    delays = delays if delays and min(delays) >= 0 else _Customized().next
    return pb.RetryPolicy(
        max_attempts=attempts, customized_backoff=pb.CustomizedBackoff(next=[_delay(delay) for delay in delays])
    )


def _delay(milliseconds: int) -> Duration:
    return duration(min(milliseconds, MAX_DELAY_MS))
