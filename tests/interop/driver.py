"""A process that drives an official client; each line of input is a step, each line of output a JSON object."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote


class DriverError(AssertionError):
    """The driver ended, gave no answer or did not know the step, so the test has no result."""


class Driver:
    """One driver process, which does steps in order."""

    def __init__(self, command: Sequence[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                text=True,
                encoding="utf-8",
            )
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def call(self, verb: str, *, wait: float = 60, **arguments: object) -> dict[str, Any]:
        """Do one step and return its answer, which may be a refusal.

        Args:
            verb: Name of the step.
            wait: Seconds to wait for the answer.
            **arguments: Arguments of the step; a trailing underscore of a name is dropped, `__` becomes a dot.
        """
        words = [verb]
        for key, value in arguments.items():
            if value is not None:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                words.append(f"{key.rstrip('_').replace('__', '.')}={quote(text, safe='')}")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=wait)
        except (queue.Empty, OSError) as failure:
            raise DriverError(f"no answer to `{verb}` within {wait} s: {self._tail()}") from failure
        if not line:
            raise DriverError(f"the driver ended at `{verb}`: {self._tail()}")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        if answer.get("error") in {"IllegalArgumentException", "ClassNotFoundException", "NoSuchMethodError"}:
            raise DriverError(f"`{verb}`: {answer}")
        return answer

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        """Kill the process, as if its machine had failed."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process with all clients that a test left running."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bodies(answer: dict[str, Any]) -> list[str]:
    """Return the bodies of the messages in an answer."""
    return [message["body"] for message in answer["messages"]]


def expected(body: str, count: int) -> list[str]:
    """Return the bodies that the step `send` gives to that many messages."""
    return [f"{body}-{number}" for number in range(count)]
