#!/usr/bin/env python3
"""Answer verdict vectors: read JSON lines of one kind, and write each with our outcome instead of the recorded one.

Usage: `tools/answer_vectors.py KIND < lines > lines`

KIND is decisions, parsing, signatures, contexts, admin or wire; `tests/vectors/README.md` describes the lines.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The module in `mqguard.testing.vectors` that answers each kind.
MODULES = {
    "decisions": "decisions",
    "parsing": "parsers",
    "signatures": "signatures",
    "contexts": "contexts",
    "admin": "admin",
    "wire": "wire",
}


def main() -> int:
    """Answer standard input line by line; return the exit status."""
    if len(sys.argv) != 2 or sys.argv[1] not in MODULES:
        print(__doc__, file=sys.stderr)
        return 2
    _enter_environment()
    answer = importlib.import_module(f"mqguard.testing.vectors.{MODULES[sys.argv[1]]}").answer
    failures = 0
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            scenario = json.loads(line)
            answered = answer(scenario)
        except Exception as exc:  # noqa: BLE001 - a wrong line must not stop the others
            failures += 1
            message = f"line {number} cannot be answered: {type(exc).__name__}: {exc}"
            print(message, file=sys.stderr)
            answered = {"error": {"error": type(exc).__name__, "message": message}}
        print(json.dumps(answered, separators=(",", ":")))
    return 1 if failures else 0


def _enter_environment() -> None:
    """Restart in the project's environment if this Python lacks the dependencies of mqguard."""
    sys.path.insert(0, str(ROOT / "src"))
    python = ROOT / ".venv" / "bin" / "python"
    if importlib.util.find_spec("msgspec") is None and python.exists() and Path(sys.executable) != python:
        os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    sys.exit(main())
