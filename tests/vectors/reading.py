"""Recorded lines, and the comparison of their outcomes with ours."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REFUSED = "refused"


def lines(kind: str) -> Iterator[dict[str, Any]]:
    """Yield every recorded line of a kind."""
    with gzip.open(HERE / f"{kind}.jsonl.gz", "rt", encoding="ascii") as file:
        for line in file:
            yield json.loads(line)


def plain(outcome: Any) -> Any:
    """Return the outcome, with each error replaced by the word `refused`."""
    if isinstance(outcome, dict):
        return REFUSED if "error" in outcome else {name: plain(value) for name, value in outcome.items()}
    return [plain(value) for value in outcome] if isinstance(outcome, list) else outcome


class Tally:
    """Numbers of tagged items that agree with the recorded outcome and that differ, by tag."""

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
        """Numbers of items that agree and that differ, by tag."""
        return {tag: (self.agree[tag], self.differ[tag]) for tag in sorted({*self.agree, *self.differ})}
