"""Every example in the pages about policies runs, and its output is the one on the page.

A fenced block whose language is followed by `file=NAME` is written into a directory of the page. In a `console` block,
each line that begins with `$ ` is run in that directory, and the lines after it are its whole output. `exit=N` after the
language is the exit code of the last command; other exit codes are not checked. `NAME=value` before a command sets its
environment.
"""

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from mqguard.auth.analysis.lint import LintRule
from mqguard.auth.migration.conversion import NoteKind
from mqguard.auth.verdict import Reason
from mqguard.cli.main import main

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = ["access-control.md", "policy-as-code.md", "migration.md"]


class Block(NamedTuple):
    line: int
    language: str
    options: dict[str, str]
    text: str


def blocks(page):
    """Return the fenced blocks of a page."""
    found, start, info, lines = [], 0, "", []
    for number, line in enumerate((DOCS / page).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```") and not start:
            start, info, lines = number, line[3:].strip(), []
        elif line == "```":
            language, *rest = info.split() or [""]
            found.append(Block(start, language, dict(one.split("=", 1) for one in rest), "\n".join(lines)))
            start = 0
        elif start:
            lines.append(line)
    assert not start, f"{page}:{start}: the block has no end"
    return found


def dialogue(text):
    """Return the commands of a block, each with its output."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in found]


def run(command, monkeypatch, capsys):
    words = shlex.split(command)
    with monkeypatch.context() as patched:
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            patched.setenv(name, value)
        assert words.pop(0) == "mqguard", command
        with pytest.raises(SystemExit) as ended:
            main(words)
    out, err = capsys.readouterr()
    return ended.value.code, (out + err).rstrip("\n")


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page(page, tmp_path, monkeypatch, capsys):
    """The examples of a page run from top to bottom; later ones use the files of earlier ones."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MQGUARD_")]:
        monkeypatch.delenv(name)
    ran = 0
    for block in blocks(page):
        if "file" in block.options:
            path = tmp_path / block.options["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + "\n", encoding="utf-8")
        elif block.language == "console":
            code = None
            for command, expected in dialogue(block.text):
                code, output = run(command, monkeypatch, capsys)
                assert output == expected, f"docs/{page}:{block.line}: $ {command}"
                ran += 1
            assert code == int(block.options.get("exit", "0")), f"docs/{page}:{block.line}"
    assert ran > 0


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_an_example_that_runs(page):
    """Every block on these pages is a file or is run."""
    for block in blocks(page):
        assert block.language == "console" or "file" in block.options, f"docs/{page}:{block.line}"


RULES = """unmapped request; missing resource field; requests that reach more than they name; identity;
several actions, "any of"; Default policy; disabled user; ties; input; admin rights; secrets;
authorization without authentication; remote config"""


def test_every_named_difference_from_apache_is_listed():
    """The table of differences has a row for each rule."""
    text = (DOCS / "access-control.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip().lower() for line in text.splitlines() if line.startswith("| ")}

    assert {rule.strip().lower() for rule in RULES.replace("\n", " ").split(";")} <= rows


def test_every_rule_of_the_linter_is_explained():
    """Every rule that `mqguard lint` prints has a row."""
    text = (DOCS / "policy-as-code.md").read_text(encoding="utf-8")
    assert all(f"| `{rule.value}` |" in text for rule in LintRule)


def test_every_note_of_a_migration_is_explained():
    """Every kind of note that `mqguard migrate` prints has a row."""
    text = (DOCS / "migration.md").read_text(encoding="utf-8")
    assert all(f"| `{topic.value}` |" in text for topic in NoteKind)


def test_every_reason_of_a_verdict_is_explained():
    """Every reason of a decision has a row."""
    text = (DOCS / "access-control.md").read_text(encoding="utf-8")
    assert all(f"| `{reason.value}` |" in text for reason in Reason)
