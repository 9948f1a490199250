"""A sink of audit records under its contract."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mqguard.testing.plugin_contracts import RecordSinkContract


class Lines:
    """A sink that adds lines to a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def write(self, lines: Sequence[bytes]) -> None:
        self._file.write(b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        self._file.close()


class TestLines(RecordSinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Lines:
        return Lines(tmp_path / "lines")

    @pytest.fixture
    def written(self, tmp_path: Path) -> Callable[[], list[bytes]]:
        return lambda: (tmp_path / "lines").read_bytes().splitlines()
