"""The `mqguard` command as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fixtures.server import environment

MQGUARD = str(Path(sys.executable).with_name("mqguard"))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(*words: str, directory: Path | None = None, give: str = "", **variables: str) -> Ended:
    """Run the command to its end."""
    done = subprocess.run(
        [MQGUARD, *words],
        capture_output=True,
        text=True,
        input=give,
        timeout=60,
        cwd=directory,
        env=environment(**variables),
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
