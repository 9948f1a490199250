"""`tools/answer_vectors.py KIND < lines > lines`, as a process."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vectors.reading import lines

TOOL = Path(__file__).resolve().parents[2] / "tools" / "answer_vectors.py"
KINDS = ("decisions", "parsing", "signatures", "contexts", "admin", "wire")


def run(*arguments, text=""):
    return subprocess.run([sys.executable, TOOL, *arguments], input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_answered_line_by_line_in_the_form_it_came(kind):
    given = list(itertools.islice(lines(kind), 3))
    done = run(kind, text="\n".join(map(json.dumps, given)) + "\n\n")
    answered = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert [line["id"] for line in answered] == [line["id"] for line in given]
    assert [set(line) for line in answered] == [set(line) for line in given]


def test_a_malformed_line_is_reported_and_the_others_are_answered():
    good = json.dumps(next(lines("parsing")))
    done = run("parsing", text=f"{good}\nnonsense\n{{}}\n{good}\n")
    answered = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [set(line) == {"error"} for line in answered] == [False, True, True, False]
    assert "line 2 cannot be answered" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("admin", "wire")])
def test_without_a_kind_it_prints_its_usage(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "answer_vectors.py KIND < lines > lines" in done.stderr
