"""Dropped queues whose entries and records are still on disk, swept away piece by piece."""


class DroppedQueues:
    """What is still to be swept: per queue number the offsets `[begin, end)`. Changes are staged like all others."""

    def __init__(self) -> None:
        self._committed: dict[int, tuple[int, int]] = {}
        self._staged: dict[int, tuple[int, int] | None] = {}

    def load(self, number: int, begin: int, end: int) -> None:
        """Take in a dropped queue found on opening."""
        self._committed[number] = (begin, end)

    def stage(self, number: int, span: tuple[int, int] | None) -> None:
        """Stage what is left of a queue, None for nothing."""
        self._staged[number] = span

    def next(self) -> tuple[int, int, int] | None:
        """A committed queue with something left that this turn has not touched: number, begin, end."""
        for number, (begin, end) in self._committed.items():
            if number not in self._staged:
                return number, begin, end
        return None

    def settle(self) -> None:
        """The turn is committed."""
        for number, span in self._staged.items():
            if span is None:
                self._committed.pop(number, None)
            else:
                self._committed[number] = span
        self._staged.clear()

    def revert(self) -> None:
        """The turn is undone."""
        self._staged.clear()
