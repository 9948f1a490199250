"""Every difference from Apache that the page names has tests, and these tests exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "access-control.md").read_text()


def table(heading: str) -> dict[str, str]:
    """Return the rows under a heading by their first cell."""
    part = PAGE.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


def names_of_tests(path: str) -> set[str]:
    """Return the names of the tests in a file."""
    return {
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_rule_has_tests_and_every_test_exists() -> None:
    rules = table("## Differences from Apache RocketMQ")
    tested = table("### Tests of these rules")
    assert rules.keys() == tested.keys()
    assert len(rules) > 12
    for rule, line in tested.items():
        named = re.findall(r"`([^`]+)::([^`]+)`", line)
        assert named, rule
        assert [name for path, name in named if name not in names_of_tests(path)] == []
