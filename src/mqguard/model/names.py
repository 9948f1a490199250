"""Names of topics and groups: valid ones, reserved ones, and their owners.

The rules are those of Apache RocketMQ's broker (letters, digits, `%`, `|`, `_`, `-`).
"""

import re

RETRY_PREFIX = "%RETRY%"
DLQ_PREFIX = "%DLQ%"
TEMPLATE_TOPIC = "TBW102"
"""The topic whose route a producer requests while its own topic does not exist."""
TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC"
SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX"
TIMER_TOPIC = "rmq_sys_wheel_timer"
"""Topic for messages with an arbitrary delivery time."""

MAX_TOPIC_BYTES = 127
MAX_GROUP_BYTES = 120
MAX_SYSTEM_TOPIC_BYTES = 255

ALL_MESSAGES = frozenset(
    {
        SCHEDULE_TOPIC,
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
        "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        TIMER_TOPIC,
    }
)
"""Topics for waiting messages of any topic, until their time or the end of their transaction."""

UNWRITABLE_TOPICS = ALL_MESSAGES | {"SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT"}
"""Topics that no client may send to, whatever its rights."""

SYSTEM_TOPICS = UNWRITABLE_TOPICS | {TEMPLATE_TOPIC, TRACE_TOPIC, "BenchmarkTest"}

_LEGAL = re.compile(r"[A-Za-z0-9%|_-]+\Z")


def retry_topic(group: str) -> str:
    """Return the topic for messages of `group` that are consumed again."""
    return RETRY_PREFIX + group


def dlq_topic(group: str) -> str:
    """Return the topic for messages of `group` that failed too often."""
    return DLQ_PREFIX + group


def owner_of(topic: str) -> str | None:
    """Return the group that owns a retry or dead-letter topic, or None for any other topic."""
    if topic.startswith(RETRY_PREFIX):
        return topic[len(RETRY_PREFIX) :]
    if topic.startswith(DLQ_PREFIX):
        return topic[len(DLQ_PREFIX) :]
    return None


def topic_fault(topic: str) -> str | None:
    """Return the problem with a topic's name, or None if it is valid."""
    limit = MAX_SYSTEM_TOPIC_BYTES if topic.startswith("%") else MAX_TOPIC_BYTES
    return _fault("topic", topic, limit)


def group_fault(group: str) -> str | None:
    """Return the problem with a group's name, or None if it is valid."""
    return _fault("group", group, MAX_GROUP_BYTES)


def _fault(what: str, name: str, limit: int) -> str | None:
    if not name or name.isspace():
        return f"the {what} is blank"
    if len(name) > limit:
        return f"the {what} is longer than {limit} characters"
    if not _LEGAL.match(name):
        return f"the {what} `{name}` holds characters other than letters, digits, `%`, `|`, `_` and `-`"
    return None
