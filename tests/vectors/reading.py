"""Reads recorded lines, and says whether two outcomes are the same."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REFUSED = "refused"


def lines(kind: str) -> Iterator[dict[str, Any]]:
    """Every recorded line of a kind."""
    with gzip.open(HERE / f"{kind}.jsonl.gz", "rt", encoding="ascii") as file:
        for line in file:
            yield json.loads(line)


def plain(outcome: Any) -> Any:
    """The outcome with every error as the one word it means: refused."""
    if isinstance(outcome, dict):
        return REFUSED if "error" in outcome else {name: plain(value) for name, value in outcome.items()}
    return [plain(value) for value in outcome] if isinstance(outcome, list) else outcome


class Tally:
    """Counts, by tag, how many tagged items agree with what was recorded and how many differ."""

    def __init__(self) -> None:
        self.agree: Counter[str] = Counter()
        self.differ: Counter[str] = Counter()
        self.untagged = 0

    def add(self, tags: list[str], *, agrees: bool) -> None:
        """Count one item."""
        if not tags:
            self.untagged += 1
        for tag in tags:
            (self.agree if agrees else self.differ)[tag] += 1

    @property
    def by_tag(self) -> dict[str, tuple[int, int]]:
        """How many agree and how many differ, by tag."""
        return {tag: (self.agree[tag], self.differ[tag]) for tag in sorted({*self.agree, *self.differ})}
