#!/usr/bin/env python3
"""Print figures of the language of the code, and of its files.

Usage: `.venv/bin/python tools/measure_language.py [CHECKOUT]`

CHECKOUT is another checkout of this repository, to compare with. The figures are those of `src/`, and of the history.
"""

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.house.test_language import comment_blocks, docstrings, messages  # noqa: E402 - needs the path

QUESTION = re.compile(r"(?:What|Who|Whoever|Where|Wherever|Whether)\b")
WORDS = {
    "told": r"told",
    "speak": r"sp(?:eaks?|eaking|oke|oken)",
    "stand": r"st(?:ands?|anding|ood)",
    "nobody": r"nobody",
}
SMALL_FILE = 60


def figures(checkout: Path) -> Iterator[tuple[str, str]]:
    """Yield each figure with its name."""
    paths = sorted((checkout / "src" / "mqguard").rglob("*.py"))
    sources = [path.read_text(encoding="utf-8") for path in paths]
    trees = [list(ast.walk(ast.parse(source))) for source in sources]

    texts = [str(constant.value) for nodes in trees for _, constant in docstrings(nodes)]
    questions = sum(1 for text in texts if QUESTION.match(text))
    yield "docstrings that open with What, Who, Where or Whether", f"{share(questions, len(texts))} of {len(texts):,}"

    prose = "\n".join(
        [
            *texts,
            *(text for source in sources for _, text in comment_blocks(source)),
            *(text for nodes in trees for _, text in messages(nodes)),
        ]
    )
    count = len(re.findall(r"\w+", prose))
    for name, pattern in WORDS.items():
        found = len(re.findall(rf"\b{pattern}\b", prose, re.IGNORECASE))
        yield f"`{name}` in 1,000 words of prose", f"{1000 * found / count:.2f} ({found} of {count:,})"

    tops = [statement for nodes in trees for statement in getattr(nodes[0], "body", ())]
    classes = Counter(statement.name for statement in tops if isinstance(statement, ast.ClassDef))
    yield "class names that mean two things", str(sum(1 for number in classes.values() if number > 1))

    subjects = log(checkout, "--format=%s")
    yield "median length of a commit's subject, all commits", f"{statistics.median(map(len, subjects)):g}"
    yield "median length of a commit's subject, last 100", f"{statistics.median(map(len, subjects[:100])):g}"

    lengths = [source.count("\n") for source in sources]
    modules = [lines for path, lines in zip(paths, lengths, strict=True) if path.name != "__init__.py"]
    small = sum(1 for lines in modules if lines < SMALL_FILE)
    yield f"files under {SMALL_FILE} lines, without __init__.py", f"{small} of {len(modules)}"
    yield "files in 1,000 lines, without __init__.py", f"{1000 * len(modules) / sum(lengths):.1f}"
    yield "files in 1,000 lines, all", f"{1000 * len(lengths) / sum(lengths):.1f}"


def share(part: int, whole: int) -> str:
    """Return a part as a percentage."""
    return f"{100 * part / max(whole, 1):.1f} %"


def log(checkout: Path, *options: str) -> list[str]:
    """Return the lines of `git log`, newest commit first."""
    done = subprocess.run(["git", "-C", str(checkout), "log", *options], capture_output=True, check=True, text=True)
    return done.stdout.splitlines()


def main() -> None:
    """Print the figures."""
    checkout = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    for name, value in figures(checkout):
        print(f"{name:<56} {value}")


if __name__ == "__main__":
    main()
