"""Names of topics and groups: valid ones, reserved ones, and their owners.

The rules are those of Apache RocketMQ's broker (letters, digits, `%`, `|`, `_`, `-`).
"""

import re

from mqguard.model.text import visible

RETRY_PREFIX = "%RETRY%"
POP_RETRY_MARK = "+"
"""Separator of group and topic in the name of a retry topic of pop. No other name contains it."""
DLQ_PREFIX = "%DLQ%"
LITE_PREFIX = "%LMQ%$"
"""Prefix of the name of a lite queue, which continues with its parent topic, `$`, and its lite topic."""
TEMPLATE_TOPIC = "TBW102"
"""The topic whose route a producer requests while its own topic does not exist."""
TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC"
CLOUD_TRACE_PREFIX = "rmq_sys_TRACE_DATA_"
"""Prefix of the topic, followed by the region, to which clients with `AccessChannel.CLOUD` send their traces."""
SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX"
TIMER_TOPIC = "rmq_sys_wheel_timer"
"""Topic for messages with an arbitrary delivery time."""

HALF_TOPIC = "RMQ_SYS_TRANS_HALF_TOPIC"
"""Topic that half messages name; none of its queues has messages."""
DISCARDED_TOPIC = "TRANS_CHECK_MAX_TIME_TOPIC"
"""Topic for half messages whose transactions had no result after the maximum number of checks."""

MAX_TOPIC_BYTES = 127
MAX_GROUP_BYTES = 120
MAX_SYSTEM_TOPIC_BYTES = 255

ALL_MESSAGES = frozenset(
    {
        SCHEDULE_TOPIC,
        HALF_TOPIC,
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
        "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
        DISCARDED_TOPIC,
        TIMER_TOPIC,
    }
)
"""Topics for waiting messages of any topic, until their time or the end of their transaction."""

UNWRITABLE_TOPICS = ALL_MESSAGES | {"SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT"}
"""Topics that no client may send to, whatever its rights."""

SYSTEM_TOPICS = UNWRITABLE_TOPICS | {TEMPLATE_TOPIC, TRACE_TOPIC, "BenchmarkTest"}

MAX_LITE_TOPIC_CHARS = 64
_LITE = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_LITE_TOPIC_CHARS}}}\Z")
_LEGAL = re.compile(r"[A-Za-z0-9%|_-]+\Z")


def trace_topics(configured: str, region: str) -> frozenset[str]:
    """Return the topics to which clients send traces: the configured one, and the one of `AccessChannel.CLOUD`."""
    return frozenset({configured, CLOUD_TRACE_PREFIX + region})


def retry_topic(group: str) -> str:
    """Return the topic for messages of `group` that are consumed again."""
    return RETRY_PREFIX + group


def dlq_topic(group: str) -> str:
    """Return the topic for messages of `group` that failed too often."""
    return DLQ_PREFIX + group


def pop_retry_topic(group: str, topic: str) -> str:
    """Return the topic for messages of `topic` that `group` has popped and not acknowledged in time.

    Apache's default form, `%RETRY%group_topic`, would give groups `a` and `a_b` the same topic. This is its newer one.
    """
    return f"{RETRY_PREFIX}{group}{POP_RETRY_MARK}{topic}"


def pop_retry_parts(topic: str) -> tuple[str, str] | None:
    """Return group and topic of a retry topic of pop, None for any other topic."""
    if not topic.startswith(RETRY_PREFIX) or POP_RETRY_MARK not in topic:
        return None
    group, _, popped = topic[len(RETRY_PREFIX) :].partition(POP_RETRY_MARK)
    return group, popped


def lite_queue(parent: str, lite: str) -> str:
    """Return the name of a lite queue of a topic (Apache: `LiteUtil.toLmqName`)."""
    return f"{LITE_PREFIX}{parent}${lite}"


def lite_parts(queue: str) -> tuple[str, str] | None:
    """Return parent topic and lite topic of the name of a lite queue, None for any other name."""
    if not queue.startswith(LITE_PREFIX):
        return None
    parent, _, lite = queue.removeprefix(LITE_PREFIX).partition("$")
    return None if topic_fault(parent) or lite_topic_fault(lite) else (parent, lite)


def owner_of(topic: str) -> str | None:
    """Return the group that owns a retry or dead-letter topic, or None for any other topic."""
    if topic.startswith(RETRY_PREFIX):
        return topic[len(RETRY_PREFIX) :].partition(POP_RETRY_MARK)[0]
    if topic.startswith(DLQ_PREFIX):
        return topic[len(DLQ_PREFIX) :]
    return None


def topic_fault(topic: str) -> str | None:
    """Return the problem with a topic's name, or None if it is valid."""
    popped = pop_retry_parts(topic)
    if popped is not None:
        return group_fault(popped[0]) or topic_fault(popped[1])
    limit = MAX_SYSTEM_TOPIC_BYTES if topic.startswith("%") else MAX_TOPIC_BYTES
    return _fault("topic", topic, limit)


def lite_topic_fault(lite: str) -> str | None:
    """Return the problem with the name of a lite topic, or None if it is valid (Apache's proxy has the same rules)."""
    if _LITE.match(lite):
        return None
    return (
        f"the lite topic `{visible(lite[:MAX_LITE_TOPIC_CHARS])}` is not 1 to {MAX_LITE_TOPIC_CHARS} letters, digits, "
        "`_` and `-`"
    )


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
