"""Apache's auth module in a process of its own, which answers any number of scenarios."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]

MEMORY = Path("/dev/shm")
"""Directory of files that need not outlive the run, since the module waits for the disk at every change."""

AHEAD = 64
"""Number of scenarios that are sent before the first of their answers is read."""


class PeerFailed(AssertionError):
    """The module ended or printed something else than answers, so nothing can be compared."""


class Unexplained(AssertionError):
    """An answer of Apache or mqguard that does not follow from the rules, so one of the three is wrong."""


def compare_caller(theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    """Check that both read the same user, address and code.

    Raises:
        Unexplained: They do not.
    """
    for part in ("subject", "ip", "rpc_code"):
        if theirs[part] != mine[part]:
            raise Unexplained(f"`{part}` is {theirs[part]!r} for Apache, and {mine[part]!r} for mqguard")


class AuthModule:
    """The running module."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
            )

    def answers(self, kind: str, scenarios: Iterable[Json]) -> Iterator[tuple[Json, Any]]:
        """Yield every scenario with the module's answer.

        Raises:
            PeerFailed: The module gave none.
        """
        batch: list[Json] = []
        for scenario in scenarios:
            batch.append(scenario)
            if len(batch) == AHEAD:
                yield from zip(batch, self._ask(kind, batch), strict=True)
                batch = []
        yield from zip(batch, self._ask(kind, batch), strict=True)

    def _ask(self, kind: str, batch: list[Json]) -> list[Any]:
        """Read all answers, so that a caller that stops early leaves none for the next one."""
        lines = "".join(f"{json.dumps({'kind': kind, **scenario})}\n" for scenario in batch)
        # A pipe holds less than a batch, so a thread writes it while its answers are read.
        writer = threading.Thread(target=self._write, args=(lines,))
        writer.start()
        try:
            return [self._read() for _ in batch]
        finally:
            writer.join()

    def _write(self, lines: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # the process has ended, which the reader reports
            self._process.stdin.write(lines)
            self._process.stdin.flush()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailed(f"the module ended: {self._log.read_text(errors='replace')[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        with suppress(OSError):
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def quick_directory() -> Iterator[str]:
    """Create a directory for the module's stores, in memory if the system has such a place."""
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="auth-module-", dir=where, ignore_cleanup_errors=True) as home:
        yield home
