"""SQL92 expressions are accepted and evaluated as by Apache's own filter module, on examples that are new in each run.

`MQGUARD_FILTER_EXPRESSIONS` sets the number of expressions; each is evaluated for 50 messages.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqguard.engine.errors import FilterInvalid
from mqguard.engine.sql92.values import EvaluationFailed
from tests.fixtures.sql92 import compiled, expressions, messages
from tests.interop.toolchain import java_filter_module

pytestmark = pytest.mark.xdist_group("java-filter-module")

EXPRESSIONS = int(os.environ.get("MQGUARD_FILTER_EXPRESSIONS", "400"))
MESSAGES = 50
_LETTERS = {True: "T", False: "F", None: "N"}


class FilterModule:
    """Apache's filter module in a process of its own."""

    def __init__(self, command: list[str], log: Path) -> None:
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
            )

    def answer(self, expression: str, maps: list[dict[str, str]]) -> tuple[str, str]:
        """Return `accepted` with a letter per message, or `rejected` with the cause."""
        parts = [expression_of(expression), *map(query, maps)]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(parts) + "\n")
        self._process.stdin.flush()
        verdict, _, rest = self._process.stdout.readline().rstrip("\n").partition(" ")
        assert verdict in {"accepted", "rejected"}, verdict
        return verdict, rest

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


def expression_of(text: str) -> str:
    """Return an expression in the form of the module's input."""
    return quote(text, safe="")


def query(properties: dict[str, str]) -> str:
    """Return properties in the form of the module's input."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in properties.items())


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilterModule]:
    """Start the module."""
    running = FilterModule(java_filter_module(), tmp_path_factory.mktemp("filter-module") / "module.log")
    yield running
    running.close()


def ours(expression: str, maps: list[dict[str, str]]) -> tuple[str, str]:
    """Return the answer of mqguard in the same form."""
    try:
        evaluate = compiled(expression)
    except FilterInvalid as error:
        return "rejected", str(error)
    letters = []
    for properties in maps:
        try:
            result = evaluate(properties)
        except EvaluationFailed:
            letters.append("E")
        else:
            assert result is None or isinstance(result, bool)
            letters.append(_LETTERS[result])
    return "accepted", "".join(letters)


def rule_of(expression: str, maps: list[dict[str, str]], theirs: tuple[str, str]) -> str | None:
    """Return the named rule by which the answers differ, None if they are the same; fail for any other difference."""
    found = ours(expression, maps)
    if found == theirs or (found[0] == theirs[0] == "rejected"):
        return None
    # Apache ignores the text after a whole expression. The part before that text must have Apache's answers.
    while found[0] == "rejected" and theirs[0] == "accepted":
        at = re.match(r"character (\d+): (?:.*or the end of the expression|.*has no |`[^`]*` is not a valid)", found[1])
        assert at, (expression, theirs, found)
        before = expression[: int(at[1]) - 1]
        if "is not a valid number" in found[1]:
            # Apache reads `0` of `007`, and ignores the rest.
            before += re.match(r"[0-9.]+(?=[lL])|0", expression[int(at[1]) - 1 :])[0]
        found = ours(before, maps)
    assert found == theirs, (expression, theirs, found)
    return "text-after-expression"


def test_every_expression_has_apaches_answers(module: FilterModule) -> None:
    """The answers are the same for each message, except where the documentation names a rule."""
    seen: Counter[str] = Counter()

    @settings(max_examples=EXPRESSIONS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(expressions(), st.integers(0, 2**32))
    def compare(expression: str, seed: int) -> None:
        maps = messages(seed, MESSAGES)
        theirs = module.answer(expression, maps)
        rule = rule_of(expression, maps, theirs)
        if rule is not None:
            seen[rule] += 1
        else:
            seen[theirs[0]] += 1
            seen.update(theirs[1] if theirs[0] == "accepted" else ())

    compare()
    # The examples are useful: each answer is common.
    for answer in ("accepted", "rejected"):
        assert seen[answer] > EXPRESSIONS // 10
    for letter in "TFNE":
        assert seen[letter] > EXPRESSIONS
    assert seen["text-after-expression"]
