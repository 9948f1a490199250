"""The page `assurance.md` has the numbers that the tests of recorded outcomes assert."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def pinned(kind: str) -> dict[str, tuple[int, int]]:
    """Return the tallies by tag that the test of a kind asserts."""
    for node in ast.parse((ROOT / "tests" / "vectors" / f"test_{kind}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "BY_TAG":
            return ast.literal_eval(node.value)
    raise AssertionError(f"test_{kind}.py has no table BY_TAG")


def test_the_page_has_the_numbers_of_the_tests() -> None:
    """Every tag of every kind has its row, with the outcomes that agree and that differ."""
    page = (ROOT / "docs" / "assurance.md").read_text()
    rows = {
        (kind, tag): (int(agree.replace(",", "")), int(differ.replace(",", "")))
        for kind, tag, agree, differ in re.findall(
            r"^\| (\w+) \| `([\w-]+)` \| ([\d,]+) \| ([\d,]+) \|$", page, re.MULTILINE
        )
    }
    kinds = ("decisions", "parsing", "contexts", "admin", "wire")

    assert rows == {(kind, tag): numbers for kind in kinds for tag, numbers in pinned(kind).items()}
