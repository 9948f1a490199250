"""Topics and consumer groups as stored by the broker, and the version of such a table."""

from typing import NamedTuple

import msgspec

from mqguard.errors import MqguardError


class DataVersion(msgspec.Struct, frozen=True):
    """A version that grows with each change.

    Attributes:
        counter: Number of changes.
        timestamp: Time of the last one, milliseconds since the epoch.
        state_version: Term of the controller; always 0 without one.
    """

    counter: int = 0
    timestamp: int = 0
    state_version: int = 0

    def next(self, now_ms: int) -> "DataVersion":
        """Return the version after another change."""
        return DataVersion(self.counter + 1, now_ms, self.state_version)


class AttributesInvalid(MqguardError):
    """An attribute change of a topic or group that cannot be applied.

    Its message names the attribute and the valid form.
    """


PERM_PRIORITY = 8
PERM_READ = 4
PERM_WRITE = 2
PERM_INHERIT = 1
PERM_BOTH = PERM_READ | PERM_WRITE
MAX_QUEUES = 1024
"""Maximum number of queues per topic: queues cost start-up time and memory, and no use needs more."""

MESSAGE_TYPE = "message.type"
LITE_EXPIRATION = "lite.topic.expiration"
ATTRIBUTE_VALUES: dict[str, frozenset[str] | None] = {
    MESSAGE_TYPE: frozenset({"UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED", "PRIORITY", "LITE"}),
    "queue.type": frozenset({"SimpleCQ", "BatchCQ"}),
    "cleanup.policy": frozenset({"DELETE", "COMPACTION"}),
    "reserve.time": None,
    LITE_EXPIRATION: None,
}
"""Attributes of topics, with the allowed values; None is a whole number."""

MAX_CHANGE = 4 * 1024
"""Maximum characters of an attribute change: there are five attributes."""
MAX_DIGITS = 20
"""Maximum characters of an attribute that is a whole number."""


class TopicConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """One topic as stored by the broker.

    Attributes:
        name: The topic.
        read_queues: Queues `0 … read_queues - 1` may be read.
        write_queues: Queues `0 … write_queues - 1` may be written.
        perm: Bits of `PERM_READ`, `PERM_WRITE`, `PERM_INHERIT` (a template may be copied), `PERM_PRIORITY`.
        filter_type: `SINGLE_TAG` or `MULTI_TAG`.
        sys_flag: Bits of the unit mode.
        order: True if the topic is for ordered messages.
        attributes: Attributes by plain name, such as `message.type`.
        creator: User whose request created it; None if no quota counts it, such as for topics of Super users.
    """

    name: str
    read_queues: int = 8
    write_queues: int = 8
    perm: int = PERM_BOTH
    filter_type: str = "SINGLE_TAG"
    sys_flag: int = 0
    order: bool = False
    attributes: dict[str, str] = {}
    creator: str | None = None

    @property
    def readable(self) -> bool:
        """True if consumers may read."""
        return bool(self.perm & PERM_READ)

    @property
    def writable(self) -> bool:
        """True if producers may write."""
        return bool(self.perm & PERM_WRITE)

    @property
    def queues(self) -> int:
        """The number of queues for reading or writing."""
        return max(self.read_queues, self.write_queues)

    @property
    def is_lite(self) -> bool:
        """True if the topic has lite topics."""
        return self.attributes.get(MESSAGE_TYPE) == "LITE"

    @property
    def lite_minutes(self) -> int:
        """Minutes after its last message at which a lite topic is deleted, -1 for never."""
        return int(self.attributes.get(LITE_EXPIRATION, "-1"))


def perm_fault(perm: int) -> str | None:
    """Return the problem with a permission number, or None if it is valid."""
    legal = PERM_BOTH | PERM_INHERIT | PERM_PRIORITY
    if perm < 0 or perm & ~legal:
        return f"perm `{perm}` has unknown bits: use 2 (write), 4 (read) or 6 (both)"
    return None


def change_attributes(current: dict[str, str], change: str) -> dict[str, str]:
    """Apply an attribute change in the wire's form, `+name=value,-name`, to the attributes of a topic.

    Raises:
        AttributesInvalid: A part has no sign, names an unknown attribute or gives it an invalid value.
    """
    if len(change) > MAX_CHANGE:
        raise AttributesInvalid(f"the attribute change has {len(change)} characters: it may have at most {MAX_CHANGE}")
    changed = dict(current)
    for part in filter(None, (piece.strip() for piece in change.split(","))):
        name, _, value = part[1:].partition("=")
        if part[0] == "-":
            changed.pop(name, None)
        elif part[0] == "+":
            _check_attribute(name, value)
            changed[name] = value
        else:
            raise AttributesInvalid(
                f"attribute change `{part}` starts with neither `+` nor `-`: write `+name=value` or `-name`"
            )
    return changed


def _check_attribute(name: str, value: str) -> None:
    if name not in ATTRIBUTE_VALUES:
        known = ", ".join(f"`{known}`" for known in sorted(ATTRIBUTE_VALUES))
        raise AttributesInvalid(f"unknown topic attribute `{name}`: use one of {known}")

    allowed = ATTRIBUTE_VALUES[name]
    if allowed is None:
        if len(value) > MAX_DIGITS or not value.removeprefix("-").isdecimal():
            raise AttributesInvalid(f"topic attribute `{name}` must be a whole number, not `{value[:64]}`")
    elif value not in allowed:
        raise AttributesInvalid(f"topic attribute `{name}` must be one of {', '.join(sorted(allowed))}, not `{value}`")


class LiteSettings(NamedTuple):
    """Attributes of a group that consumes lite topics.

    Attributes:
        parent: Topic whose lite topics the group consumes.
        is_exclusive: True if a lite topic has one subscriber, the last one that subscribed to it.
        is_wildcard: True if the group consumes all lite topics of the parent.
        quota: Maximum number of lite topics of one client, -1 for no limit.
        resets_if_excluded: True if the group begins a lite topic again when another client takes it over.
        resets_if_unsubscribed: True if the group begins a lite topic again after a client has unsubscribed from it.
    """

    parent: str
    is_exclusive: bool = False
    is_wildcard: bool = False
    quota: int = 2000
    resets_if_excluded: bool = False
    resets_if_unsubscribed: bool = False

    @classmethod
    def of(cls, attributes: dict[str, str]) -> "LiteSettings | None":
        """Return the settings in the attributes of a group, None if it does not consume lite topics.

        Source: `SubscriptionGroupAttributes` of Apache RocketMQ 5.5.0.
        """
        parent = attributes.get("lite.bind.topic")
        if not parent:
            return None
        quota = attributes.get("lite.sub.client.quota", "")
        return cls(
            parent,
            attributes.get("lite.sub.model") == "Exclusive",
            attributes.get("lite.sub.wildcard") == "true",
            int(quota) if quota.isascii() and quota.isdecimal() and len(quota) <= MAX_DIGITS else cls(parent).quota,
            attributes.get("lite.sub.reset.offset.exclusive") == "true",
            attributes.get("lite.sub.reset.offset.unsubscribe") == "true",
        )


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
