"""Problems in a file, and their messages."""

import pytest

from mqguard.auth.documents.nodes import DocumentInvalid, Mark, Problem, nearest


def test_problems_are_in_the_order_of_the_file():
    """Problems are sorted by line and column, and the first one is in the message."""
    places = [Mark(10, 1), Mark(2, 9), Mark(2, 10), Mark(1, 30)]
    error = DocumentInvalid(Problem(mark, f"at {mark}") for mark in places)

    assert [problem.mark for problem in error.problems] == [Mark(1, 30), Mark(2, 9), Mark(2, 10), Mark(10, 1)]
    assert str(error) == "1:30: at 1:30 (and 3 more)"


@pytest.mark.parametrize(("count", "more"), [(1, ""), (2, " (and 1 more)"), (3, " (and 2 more)")])
def test_a_message_counts_the_other_problems(count, more):
    """A single problem has no count."""
    assert str(DocumentInvalid([Problem(Mark(1, 1), "no")] * count)) == f"1:1: no{more}"


def test_quoted_text_cannot_forge_a_line():
    """Each problem is one line, whatever text it quotes."""
    error = DocumentInvalid([Problem(Mark(1, 1), "unknown key `a\n2:1: b\x1b[0m`")])

    assert str(error) == r"1:1: unknown key `a\n2:1: b\x1b[0m`"


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("user", ["version", "users", "uses"], "did you mean `users`?"),
        ("user", ["uses", "user_", "users"], "did you mean `users`?"),
        ("zzz", ["a", "b"], "known names are `a`, `b`"),
        ("zzz", iter(["a"]), "known names are `a`"),
        ("zzz", [], "no names are known"),
    ],
)
def test_a_hint_is_the_one_nearest_word_or_all_of_them(word, known, hint):
    """If no known word is near, the hint lists all of them."""
    assert nearest(word, known) == hint
