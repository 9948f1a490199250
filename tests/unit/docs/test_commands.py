"""Every `mqguard` command on the pages exists, with its options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mqguard.cli.main import mqguard

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["README.md", "SECURITY.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```$|((?:^ {4}\S.*\n)+)", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"^ *(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\./dev run|mqguard) ([a-z].*?)(?:\s+#.*)?$", re.MULTILINE)
INLINE = re.compile(r"`(?:\./dev run|mqguard) ([a-z][^`]*)`")


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of every command in the blocks and the text of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = "\n".join(block or indented for block, indented in BLOCK.findall(text))
    for found in (*LINE.findall(blocks), *INLINE.findall(BLOCK.sub("", text))):
        yield shlex.split(found.replace("\n", " "))


def problem(words: list[str]) -> str:
    """Return the first word that the command line does not know, or nothing."""
    command: click.Command = mqguard
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[0]
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*(?:=.*)?", word)]
    return next((option for option in options if option not in known | {"--help", "-h"}), "")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_exist(page):
    """Names of commands and options are those of the command line."""
    assert [" ".join(words) for words in commands(page) if problem(list(words))] == []


def test_a_wrong_command_is_found():
    """A wrong command and a wrong option are reported, and a right command is not."""
    assert problem(["user", "rename"]) == "rename"
    assert problem(["user", "list", "--wide"]) == "--wide"
    assert problem(["acl", "list", "-s", "alice"]) == ""
