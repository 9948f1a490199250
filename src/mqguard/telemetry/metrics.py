"""Metrics: plain integers that code increments, and numbers that are read on request.

This module depends on no format and no library, so that counting costs nothing else. `telemetry.prometheus` exports it.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of labels, in the order of the family's labels, and the number."""


class MetricKind(enum.Enum):
    """The behaviour of a number."""

    COUNTER = "counter"
    """A number that only grows."""
    GAUGE = "gauge"


class Family(Protocol):
    """Numbers of one name, distinguished by the values of their labels.

    Attributes:
        name: The name, such as `mqguard_requests_refused_total`. The name of a counter ends in `_total`.
        help: The counted events, in one sentence.
        labels: Names of the labels, in the order of their values.
        kind: The behaviour of the numbers.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    kind: MetricKind

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Return the values of the labels and the number, for each number."""
        ...  # pragma: no cover


class Counter:
    """Counts one kind of event. Add to `value` directly; only one thread does.

    Attributes:
        value: Number of events.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class CounterFamily:
    """Counters of one name; see `Family`."""

    MAX_CHILDREN = 1024
    """Maximum number of counters. Label values must come from fixed sets, never from peers; this is the safety net."""

    kind = MetricKind.COUNTER

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:  # noqa: A002 - the usual word
        self.name = name
        self.help = help
        self.labels = labels
        self._children: dict[tuple[str, ...], Counter] = {}

    def of(self, *values: str) -> Counter:
        """Return the counter with these label values; the first call creates it.

        Raises:
            ValueError: The number of values differs from that of labels.
        """
        found = self._children.get(values)
        if found is not None:
            return found
        if len(values) != len(self.labels):
            raise ValueError(f"`{self.name}` has {len(self.labels)} labels, not {len(values)}")
        if len(self._children) >= self.MAX_CHILDREN:
            values = ("other",) * len(self.labels)
        return self._children.setdefault(values, Counter())

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Return label values and count, for each counter."""
        return iter([(values, counter.value) for values, counter in self._children.items()])


class ObservedFamily:
    """Numbers of one name that other objects store, read on request; see `Family`."""

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - the usual word
        kind: MetricKind,
        labels: tuple[str, ...],
        read: Callable[[], Samples],
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.labels = labels
        self._read = read

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Read the numbers."""
        return iter(self._read())


class Metrics:
    """All families of a process."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def family(self, name: str, help: str, labels: tuple[str, ...] = ()) -> CounterFamily:  # noqa: A002 - the usual word
        """Return the counters of that name; the first call creates them.

        Raises:
            ValueError: The family was created with other labels, or is an observed one.
        """
        found = self._families.setdefault(name, CounterFamily(name, help, labels))
        if found.labels != labels or not isinstance(found, CounterFamily):
            raise ValueError(f"`{name}` has the labels {found.labels}, not {labels}")
        return found

    def observe(
        self,
        name: str,
        help: str,  # noqa: A002 - the usual word
        read: Callable[[], float],
        kind: MetricKind = MetricKind.COUNTER,
    ) -> None:
        """Add a number that `read` returns.

        Raises:
            ValueError: A family of that name exists.
        """
        self._add(ObservedFamily(name, help, kind, (), lambda: [((), read())]))

    def observe_each(
        self,
        name: str,
        help: str,  # noqa: A002 - the usual word
        label: str,
        reads: Mapping[str, Callable[[], float]],
        kind: MetricKind = MetricKind.COUNTER,
    ) -> None:
        """Add numbers distinguished by one label.

        Args:
            name: Name of the family.
            help: The counted events.
            label: Name of the label.
            reads: Returns the number, for each value of the label.
            kind: The behaviour of the numbers.

        Raises:
            ValueError: A family of that name exists.
        """
        self._add(ObservedFamily(name, help, kind, (label,), lambda: [((one,), read()) for one, read in reads.items()]))

    def _add(self, family: Family) -> None:
        if family.name in self._families:
            raise ValueError(f"the metric `{family.name}` exists: choose another name")
        self._families[family.name] = family

    def __iter__(self) -> Iterator[Family]:
        """Return every family, in the order of names."""
        return iter(sorted(self._families.values(), key=lambda family: family.name))
