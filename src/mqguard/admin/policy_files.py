"""Policy files: reading them, with the file and the position before each problem."""

import sys
from pathlib import Path

from mqguard.auth.documents.document import Document
from mqguard.auth.documents.problems import DocumentInvalid
from mqguard.auth.documents.reader import read_document
from mqguard.auth.errors import PolicyInvalid

MAX_FILE_BYTES = 64 << 20
"""Maximum size of a file: a million entries fit."""

MAX_PROBLEMS = 100
"""Maximum number of problems in one error; the error counts the rest."""


def load_document(path: Path) -> Document:
    """Read a policy file, `-` for standard input.

    Raises:
        PolicyInvalid: The file cannot be read, or is not valid; every problem has its line and column.
    """
    text = read_text(path)
    try:
        return read_document(text)
    except DocumentInvalid as error:
        raise located(path, error) from None


def located(path: Path, error: DocumentInvalid) -> PolicyInvalid:
    """Return the error with the file before each of its problems, one problem a line."""
    lines = [f"{path}:{problem.mark}: {problem.message}" for problem in error.problems[:MAX_PROBLEMS]]
    more = len(error.problems) - len(lines)
    return PolicyInvalid("\n".join([*lines, f"and {more} more"] if more else lines))


def read_text(path: Path) -> str:
    """Read the text of a file, `-` for standard input.

    Raises:
        PolicyInvalid: The file cannot be read, is too long, or is not UTF-8.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise PolicyInvalid(f"the file `{path}` is longer than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PolicyInvalid(f"the file `{path}` is not UTF-8: line {line} has another encoding") from None


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    with path.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)
