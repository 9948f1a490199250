"""Counters: plain integers that are added to where things happen, and read when somebody asks."""

from collections.abc import Iterator


class Counter:
    """Counts one kind of event. Add to `value` directly; only one thread does.

    Attributes:
        value: How many.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Family:
    """Counters of one name, told apart by the values of their labels.

    Attributes:
        name: Such as `mqguard_requests_refused_total`.
        help: What is counted, in one sentence.
        labels: Names of the labels, in the order of their values.
    """

    MAX_CHILDREN = 1024
    """Most counters of one family. Label values must come from fixed sets, never from peers; this is the safety net."""

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:  # noqa: A002 - the usual word
        self.name = name
        self.help = help
        self.labels = labels
        self._children: dict[tuple[str, ...], Counter] = {}

    def of(self, *values: str) -> Counter:
        """The counter with these label values, made when it is first asked for.

        Raises:
            ValueError: As many values as labels are needed.
        """
        found = self._children.get(values)
        if found is not None:
            return found
        if len(values) != len(self.labels):
            raise ValueError(f"`{self.name}` has {len(self.labels)} labels, not {len(values)}")
        if len(self._children) >= self.MAX_CHILDREN:
            values = ("other",) * len(self.labels)
        return self._children.setdefault(values, Counter())

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Label values and count, of every counter."""
        return iter([(values, counter.value) for values, counter in self._children.items()])


class Metrics:
    """All families of a process."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def family(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Family:  # noqa: A002 - the usual word
        """The family of that name, made when it is first asked for.

        Raises:
            ValueError: It was made with other labels.
        """
        found = self._families.setdefault(name, Family(name, help, labels))
        if found.labels != labels:
            raise ValueError(f"`{name}` has the labels {found.labels}, not {labels}")
        return found

    def __iter__(self) -> Iterator[Family]:
        """Every family, by name."""
        return iter(sorted(self._families.values(), key=lambda family: family.name))
