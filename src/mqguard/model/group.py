"""Consumer groups as stored by the broker."""

import msgspec

MAX_RETRY_TIMES = 16
"""Default of the failed deliveries after which a message goes to the dead-letter topic."""


MAX_ATTRIBUTES = 16 * 1024
"""Maximum characters of a group's attributes, names and values together: every group stays in memory."""
MAX_RETRY_POLICY = 4 * 1024
"""Maximum bytes of a group's retry policy."""


class SubscriptionGroupConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """One consumer group (Apache: `SubscriptionGroupConfig`).

    Attributes:
        name: The group.
        consume_enable: True if it may consume at all.
        consume_from_min_enable: True if it may start at the smallest offset.
        consume_broadcast_enable: True if it may consume by broadcast.
        consume_orderly: True if it consumes in order (pop clients).
        retry_queues: Queues of its retry topic.
        retry_max_times: Deliveries after which a message goes to the dead-letter topic.
        retry_policy: The `groupRetryPolicy` object of the request, stored unchanged.
        broker_id: Replica to read from.
        slow_broker_id: Replica to read from if consumption is slow.
        notify_changes: True if members are notified of changes of membership.
        sys_flag: Bits of the unit mode.
        consume_timeout_minutes: Maximum time for processing one message.
        attributes: Attributes by plain name.
        creator: User whose request created it; None if no quota counts it, such as for groups of Super users.
    """

    name: str
    consume_enable: bool = True
    consume_from_min_enable: bool = True
    consume_broadcast_enable: bool = True
    consume_orderly: bool = False
    retry_queues: int = 1
    retry_max_times: int = MAX_RETRY_TIMES
    retry_policy: dict[str, object] | None = None
    broker_id: int = 0
    slow_broker_id: int = 1
    notify_changes: bool = True
    sys_flag: int = 0
    consume_timeout_minutes: int = 15
    attributes: dict[str, str] = {}
    creator: str | None = None


def group_config_fault(group: SubscriptionGroupConfig) -> str | None:
    """Return the problem with the numbers and sizes of a group, or None if they are valid."""
    if not 0 <= group.retry_queues <= 128:
        return f"retryQueueNums of group `{group.name}` is `{group.retry_queues}`; it must be 0 to 128"
    if group.retry_max_times < -1:
        return f"retryMaxTimes of group `{group.name}` is `{group.retry_max_times}`; it must be -1 or more"
    if group.consume_timeout_minutes <= 0:
        return (
            f"consumeTimeoutMinute of group `{group.name}` is `{group.consume_timeout_minutes}`; it must be 1 or more"
        )
    attributes = sum(len(name) + len(value) for name, value in group.attributes.items())
    if attributes > MAX_ATTRIBUTES:
        return f"attributes of group `{group.name}` have {attributes} characters; at most {MAX_ATTRIBUTES} are kept"
    policy = 0 if group.retry_policy is None else len(msgspec.json.encode(group.retry_policy))
    if policy > MAX_RETRY_POLICY:
        return f"groupRetryPolicy of group `{group.name}` has {policy} bytes; at most {MAX_RETRY_POLICY} are kept"
    return None
