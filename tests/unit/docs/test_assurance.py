"""The page about assurance tells the numbers that the tests of recorded outcomes pin."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def pinned(kind: str) -> dict[str, tuple[int, int]]:
    """The tallies by tag that the test of a kind pins."""
    for node in ast.parse((ROOT / "tests" / "vectors" / f"test_{kind}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "BY_TAG":
            return ast.literal_eval(node.value)
    raise AssertionError(f"test_{kind}.py pins nothing")


def test_the_page_tells_what_the_tests_pin() -> None:
    """Each tag of each kind, how many agree and how many differ."""
    page = (ROOT / "docs" / "assurance.md").read_text()
    told = {
        (kind, tag): (int(agree.replace(",", "")), int(differ.replace(",", "")))
        for kind, tag, agree, differ in re.findall(
            r"^\| (\w+) \| `([\w-]+)` \| ([\d,]+) \| ([\d,]+) \|$", page, re.MULTILINE
        )
    }
    kinds = ("decisions", "parsing", "contexts", "admin", "wire")

    assert told == {(kind, tag): numbers for kind in kinds for tag, numbers in pinned(kind).items()}
