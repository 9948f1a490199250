"""What is wrong in a file, and where."""

import dataclasses
import difflib
from collections.abc import Iterable

from mqguard.auth.errors import PolicyInvalid
from mqguard.model.text import visible


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        mark: Where.
        message: What, and what would be right.
    """

    mark: Mark
    message: str


class DocumentInvalid(PolicyInvalid):
    """A document that cannot be used.

    Attributes:
        problems: Everything that is wrong, in the order of the file; at least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        # What somebody wrote is in the messages, ends of lines too: each stays one line.
        shown = (Problem(problem.mark, visible(problem.message)) for problem in problems)
        self.problems = tuple(sorted(shown, key=lambda problem: problem.mark))
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{first.mark}: {first.message}{more}")


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that is meant, or the list of all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known are " + ", ".join(f"`{one}`" for one in known) if known else "there are none"
