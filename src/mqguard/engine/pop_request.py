"""Requests to pop messages, and their results."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mqguard.engine.errors import ConfigIllegal
from mqguard.engine.filters import MessageFilter

MAX_POPPED = 32
"""Maximum messages of one pop; Apache's broker refuses more."""
MAX_INVISIBLE_MS = 12 * 3_600_000
"""Maximum invisible time. Apache's proxy has this limit, and its remoting clients ask for 5 minutes at most."""
MAX_ATTEMPT_CHARS = 255
"""Maximum characters of the identifier of a pop in order, which is stored."""


class PopRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A pop.

    Attributes:
        group: The group.
        topic: The topic.
        invisible_ms: Milliseconds after which a message that is not acknowledged comes again.
        queue_id: The queue, negative for all.
        max_messages: Maximum number of messages.
        wanted: Filter of the messages, None for all.
        from_end: True if a new group begins with the last message of a large queue. Otherwise it begins with the first.
        in_order: True if the messages block later ones of their queues.
        attempt_id: Identifier of a pop in order. A pop with the same one gets the same messages; empty for none.
        owner: User or address for whose share of messages in flight the messages count.
        creator: User for which new offsets of the group count, None if they count for no user.
        readable: Function that leaves out records that the user may not read, None if it may read all.
    """

    group: str
    topic: str
    invisible_ms: int
    queue_id: int = -1
    max_messages: int = MAX_POPPED
    wanted: MessageFilter | None = None
    from_end: bool = False
    in_order: bool = False
    attempt_id: str = ""
    owner: str = ""
    creator: str | None = None
    readable: Callable[[list[bytes]], list[bytes]] | None = None


class PoppedMessage(NamedTuple):
    """One popped message.

    Attributes:
        offset: Its queue offset.
        record: Its record.
        attempts: Number of earlier deliveries of a message in order. Others have it in their record.
    """

    offset: int
    record: bytes
    attempts: int = 0


class PopBatch(msgspec.Struct):
    """Popped messages of one queue.

    Attributes:
        topic: Topic that stores them: the popped one, or its retry topic.
        queue_id: The queue.
        messages: The messages in order of their offsets.
    """

    topic: str
    queue_id: int
    messages: list[PoppedMessage]


class PopResult(msgspec.Struct):
    """Messages that a pop found.

    Attributes:
        pop_time: Time of the pop, which identifies its deliveries.
        batches: Messages by queue.
        rest: Number of messages that are left in the queues that the pop reached.
        is_cut: True if it ended at a limit, so that another pop may find messages at once.
    """

    pop_time: int
    batches: list[PopBatch] = msgspec.field(default_factory=list)
    rest: int = 0
    is_cut: bool = False

    def add(self, topic: str, queue_id: int, messages: list[PoppedMessage]) -> None:
        """Add messages of a queue, if there are any."""
        if messages:
            self.batches.append(PopBatch(topic, queue_id, messages))


def check_invisible(invisible_ms: int) -> None:
    """Check an invisible time.

    Raises:
        ConfigIllegal: It is negative or too long.
    """
    if not 0 <= invisible_ms <= MAX_INVISIBLE_MS:
        raise ConfigIllegal(f"the invisible time is `{invisible_ms}` ms; it must be 0 to {MAX_INVISIBLE_MS}")
