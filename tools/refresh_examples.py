"""Run the examples in the pages about policies, and write their present output into the pages.

Read the change before you commit it, because the pages are promises to users. `tests/unit/docs/test_examples.py`
explains the form of the blocks, and fails if a page is out of date.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("access-control.md", "policy-as-code.md", "migration.md")


def refreshed(lines: list[str], directory: Path) -> Iterator[str]:
    """Yield the lines of a page with the present output of every command."""
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        yield line
        if not line.startswith("```"):
            continue
        end = lines.index("```", at)
        yield from block(line[3:], lines[at:end], directory)
        yield "```"
        at = end + 1


def block(info: str, body: list[str], directory: Path) -> Iterator[str]:
    """Yield the body of one block."""
    name = re.search(r"\bfile=(\S+)", info)
    if name:
        path = directory / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(body) + "\n", encoding="utf-8")
    if not info.startswith("console"):
        yield from body
        return
    for line in body:
        if line.startswith("$ "):
            yield line
            yield from run(line[2:], directory)


def run(command: str, directory: Path) -> list[str]:
    """Return the output of a command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MQGUARD_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
    done = subprocess.run(
        command, shell=True, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    output = (done.stdout + done.stderr).rstrip("\n")
    return output.split("\n") if output else []


def main() -> None:
    """Refresh every page."""
    for page in PAGES:
        path = ROOT / "docs" / page
        with tempfile.TemporaryDirectory() as directory:
            lines = path.read_text(encoding="utf-8").splitlines()
            path.write_text("\n".join(refreshed(lines, Path(directory))) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
