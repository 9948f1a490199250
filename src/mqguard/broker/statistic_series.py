"""Series of totals under Apache's names of statistics, and their parts by queue."""

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from mqguard.broker.sample_windows import Figures, SampleWindows, Totals, Window, figures
from mqguard.store.queues import Queue


class CountedEvent(enum.Enum):
    """An event that a series counts."""

    PUT = enum.auto()
    GET = enum.auto()
    SENT_BACK = enum.auto()
    DEAD = enum.auto()
    ACK = enum.auto()
    CHECKPOINT = enum.auto()


class Statistic(NamedTuple):
    """A statistic by topic.

    Attributes:
        kind: The kind of event.
        field: The number of `Totals`.
        key: The parts of its key, which are separated by `@`.
    """

    kind: CountedEvent
    field: str
    key: tuple[str, ...]


TOPIC, GROUP, QUEUE = "topic", "group", "queue"
STATISTICS: Final[Mapping[str, Statistic]] = {
    "TOPIC_PUT_NUMS": Statistic(CountedEvent.PUT, "messages", (TOPIC,)),
    "TOPIC_PUT_SIZE": Statistic(CountedEvent.PUT, "size", (TOPIC,)),
    "TOPIC_PUT_LATENCY": Statistic(CountedEvent.PUT, "latency_ms", (QUEUE, TOPIC)),
    "QUEUE_PUT_NUMS": Statistic(CountedEvent.PUT, "messages", (TOPIC, QUEUE)),
    "QUEUE_PUT_SIZE": Statistic(CountedEvent.PUT, "size", (TOPIC, QUEUE)),
    "GROUP_GET_NUMS": Statistic(CountedEvent.GET, "messages", (TOPIC, GROUP)),
    "GROUP_GET_SIZE": Statistic(CountedEvent.GET, "size", (TOPIC, GROUP)),
    "GROUP_GET_LATENCY": Statistic(CountedEvent.GET, "latency_ms", (QUEUE, TOPIC, GROUP)),
    "QUEUE_GET_NUMS": Statistic(CountedEvent.GET, "messages", (TOPIC, QUEUE, GROUP)),
    "QUEUE_GET_SIZE": Statistic(CountedEvent.GET, "size", (TOPIC, QUEUE, GROUP)),
    "SNDBCK_PUT_NUMS": Statistic(CountedEvent.SENT_BACK, "messages", (TOPIC, GROUP)),
    "SNDBCK2DLQ_TIMES": Statistic(CountedEvent.DEAD, "messages", ("null", TOPIC, GROUP, "SEND_BACK_TO_DLQ")),
    "GROUP_ACK_NUMS": Statistic(CountedEvent.ACK, "messages", (TOPIC, GROUP)),
    "GROUP_CK_NUMS": Statistic(CountedEvent.CHECKPOINT, "messages", (TOPIC, GROUP)),
}


class Part:
    """Totals of one queue."""

    __slots__ = ("is_system", "latency_ms", "messages", "size", "times", "windows")

    def __init__(self, *, is_system: bool = False) -> None:
        self.times = self.messages = self.size = self.latency_ms = 0
        self.is_system = is_system
        self.windows: SampleWindows | None = None

    def totals(self) -> Totals:
        """Return the totals of this moment."""
        return Totals(self.times, self.messages, self.size, self.latency_ms)


class QueuePuts(Part):
    """Totals of the messages that were stored in a queue, read from the queue itself."""

    __slots__ = ("_first_byte", "_first_offset", "_in_batches", "queue")

    def __init__(self, queue: Queue, offset: int, size: int) -> None:
        super().__init__()
        self.queue = queue
        # A store that recovered counts the bytes of its queues anew.
        self._first_offset, self._first_byte = offset, size if size <= queue.max_bytes else 0
        self._in_batches = 0

    def follow(self, queue: Queue) -> None:
        """Continue with another object of the same queue, which counts its bytes anew since the store has recovered."""
        self.queue = queue
        self._first_byte = -self.size

    def refresh(self, in_batches: int) -> None:
        """Read the totals; `in_batches` is the number of new messages that came after the first of their batch."""
        self._in_batches += in_batches
        self.messages = self.queue.max_offset - self._first_offset
        self.size = self.queue.max_bytes - self._first_byte
        self.times = max(0, self.messages - self._in_batches)


class Series:
    """Totals of one kind of event for a topic, or for a topic and a group, with their parts by queue."""

    __slots__ = ("group", "kind", "owner", "parts", "topic", "windows")

    def __init__(self, kind: CountedEvent, topic: str, group: str, owner: str, now_ms: int) -> None:
        self.kind = kind
        self.topic, self.group, self.owner = topic, group, owner
        self.parts: dict[int, Part] = {}
        self.windows = SampleWindows(now_ms)

    def totals(self) -> Totals:
        """Return the sums of the totals of all parts."""
        times = messages = size = latency_ms = 0
        for part in self.parts.values():
            times += part.times
            messages += part.messages
            size += part.size
            latency_ms += part.latency_ms
        return Totals(times, messages, size, latency_ms)


class View(NamedTuple):
    """A statistic in all windows."""

    minute: Figures
    hour: Figures
    day: Figures


def view_of(windows: SampleWindows, field: str) -> View:
    """Return a number of a counter in all windows."""
    return View(*(figures(windows.growth(window), field) for window in Window))
