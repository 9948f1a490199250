"""Handles of popped messages, and the ext fields from which clients build them (Apache: `ExtraInfoUtil`).

A handle has eight fields, separated by spaces:

`first-offset pop-time invisible-time revive-queue topic-mark broker queue offset`

A peer may send any handle. So the broker compares it with what it has in flight.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from mqguard.model.names import RETRY_PREFIX, pop_retry_topic
from mqguard.remoting.command import HeaderInvalid

ORDERED_QUEUE: Final = 999
"""Number of the revive queue in the handles of messages that were popped in order."""
NORMAL: Final = "0"
RETRY: Final = "1"
RETRY_V2: Final = "2"
_RETRIES: Final = (RETRY, RETRY_V2)
_MAX_HANDLE: Final = 1_024
_MAX_DIGITS: Final = 19
_FIELDS: Final = 8


class PopHandle(NamedTuple):
    """Fields of a handle that a broker compares.

    Attributes:
        pop_time: Time of the pop.
        queue_id: The queue.
        offset: Offset of the message.
    """

    pop_time: int
    queue_id: int
    offset: int


def parse_handle(text: str) -> PopHandle:
    """Parse the handle of a message; a proxy may add further fields to it.

    Raises:
        HeaderInvalid: The text is not a handle.
    """
    fields = text.split(" ") if len(text) <= _MAX_HANDLE else []
    if len(fields) < _FIELDS:
        raise HeaderInvalid("extraInfo", "is not a handle with eight fields")
    try:
        return PopHandle(_number(fields[1]), _number(fields[6]), _number(fields[7]))
    except ValueError:
        raise HeaderInvalid("extraInfo", "has a field that is not a number") from None


def handle_of(first: int, pop_time: int, invisible_ms: int, mark: str, broker: str, queue_id: int, offset: int) -> str:
    """Return the handle of a message without order."""
    return f"{first} {pop_time} {invisible_ms} 0 {mark} {broker} {queue_id} {offset}"


def mark_of(topic: str) -> str:
    """Return the mark with which clients build the handles of messages with a topic."""
    return RETRY if topic.startswith(RETRY_PREFIX) else NORMAL


def named_topic(group: str, topic: str) -> str:
    """Return the topic that clients name for messages from a retry topic of pop: Apache's default form."""
    return f"{RETRY_PREFIX}{group}_{topic}"


def stored_topic(group: str, topic: str, mark: str = NORMAL) -> str:
    """Return the topic that stores messages for which a client names a topic, perhaps the form of `named_topic`."""
    named = f"{RETRY_PREFIX}{group}_"
    is_retry = mark in _RETRIES
    if topic.startswith(named):
        topic, is_retry = topic.removeprefix(named), True
    # A retry topic has no retry topic of its own.
    return pop_retry_topic(group, topic) if is_retry and not topic.startswith(RETRY_PREFIX) else topic


def first_offsets(batches: Iterable[tuple[str, int, list[int]]]) -> str:
    """Return `startOffsetInfo` for batches of a mark, a queue and offsets."""
    return ";".join(f"{mark} {queue_id} {offsets[0]}" for mark, queue_id, offsets in batches)


def all_offsets(batches: Iterable[tuple[str, int, list[int]]]) -> str:
    """Return `msgOffsetInfo` for batches of a mark, a queue and offsets."""
    return ";".join(f"{mark} {queue_id} {','.join(map(str, offsets))}" for mark, queue_id, offsets in batches)


def attempt_counts(batches: Iterable[tuple[str, int, list[tuple[int, int]]]]) -> str:
    """Return `orderCountInfo` for batches of a mark, a queue, and offsets with their numbers of earlier deliveries."""
    parts = []
    for mark, queue_id, messages in batches:
        parts += [f"{mark} qo{queue_id}%{offset} {attempts}" for offset, attempts in messages if attempts]
        # Older clients read only the smallest number of a queue.
        parts.append(f"{mark} {queue_id} {min(attempts for _, attempts in messages)}")
    return ";".join(parts)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > _MAX_DIGITS:
        raise ValueError(text)
    return int(text)
