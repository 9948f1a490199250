"""Problems in a file, with their positions."""

import dataclasses
import difflib
from collections.abc import Iterable

from mqguard.auth.errors import PolicyInvalid
from mqguard.model.text import visible


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A position in a file; lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        mark: The position.
        message: The problem, and the correct form.
    """

    mark: Mark
    message: str


class DocumentInvalid(PolicyInvalid):
    """A document that cannot be used.

    Attributes:
        problems: Every problem, in the order of the file; at least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        # Messages quote the file, including line ends, so each is made one visible line.
        shown = (Problem(problem.mark, visible(problem.message)) for problem in problems)
        self.problems = tuple(sorted(shown, key=lambda problem: problem.mark))
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{first.mark}: {first.message}{more}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known word, or the list of all known words."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known names are " + ", ".join(f"`{one}`" for one in known) if known else "no names are known"
