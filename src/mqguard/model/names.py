"""Names of topics and groups: which are legal, which are reserved, which belong to whom.

The rules are those of Apache RocketMQ's broker (letters, digits, `%`, `|`, `_`, `-`).
"""

import re

RETRY_PREFIX = "%RETRY%"
DLQ_PREFIX = "%DLQ%"
TEMPLATE_TOPIC = "TBW102"
"""The topic whose route a producer asks for when its own topic does not exist yet."""
TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC"
SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX"
TIMER_TOPIC = "rmq_sys_wheel_timer"
"""Where messages for a time of choice wait."""

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
"""Where messages of any topic wait: for their time, or for the end of their transaction."""

UNWRITABLE_TOPICS = ALL_MESSAGES | {"SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT"}
"""Topics that no client may send to, whatever its rights."""

SYSTEM_TOPICS = UNWRITABLE_TOPICS | {TEMPLATE_TOPIC, TRACE_TOPIC, "BenchmarkTest"}

_LEGAL = re.compile(r"[A-Za-z0-9%|_-]+\Z")


def retry_topic(group: str) -> str:
    """The topic that holds messages of `group` to be consumed again."""
    return RETRY_PREFIX + group


def dlq_topic(group: str) -> str:
    """The topic that holds messages that `group` has given up on."""
    return DLQ_PREFIX + group


def owner_of(topic: str) -> str | None:
    """The group that a retry or dead-letter topic belongs to, None for any other topic."""
    if topic.startswith(RETRY_PREFIX):
        return topic[len(RETRY_PREFIX) :]
    if topic.startswith(DLQ_PREFIX):
        return topic[len(DLQ_PREFIX) :]
    return None


def topic_fault(topic: str) -> str | None:
    """What is wrong with a topic's name, None if it is legal."""
    limit = MAX_SYSTEM_TOPIC_BYTES if topic.startswith("%") else MAX_TOPIC_BYTES
    return _fault("topic", topic, limit)


def group_fault(group: str) -> str | None:
    """What is wrong with a group's name, None if it is legal."""
    return _fault("group", group, MAX_GROUP_BYTES)


def _fault(what: str, name: str, limit: int) -> str | None:
    if not name or name.isspace():
        return f"the {what} is blank"
    if len(name) > limit:
        return f"the {what} is longer than {limit} characters"
    if not _LEGAL.match(name):
        return f"the {what} `{name}` holds characters other than letters, digits, `%`, `|`, `_` and `-`"
    return None
