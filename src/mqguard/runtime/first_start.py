"""The first administrator: a random secret, shown once, in a file that only its owner can read.

The file has the form of Apache's `conf/tools.yml`, so `mqadmin` can sign with a copy of it.
"""

import os
from pathlib import Path

from mqguard.admin.credentials import CREDENTIALS_FILE, CredentialsInvalid, read_credentials_file
from mqguard.config.secret import Credentials
from mqguard.runtime.errors import StartFailed

ADMIN = "admin"
"""Name of the Super user that is created if there is none."""


def save_credentials(directory: Path, credentials: Credentials) -> Path:
    """Write the credentials file, readable only by its owner, and sync it.

    Returns:
        The path of the file.

    Raises:
        StartFailed: The file cannot be written.
    """
    path = directory / CREDENTIALS_FILE
    fresh = path.with_suffix(".new")
    text = f"accessKey: {credentials.name}\nsecretKey: {credentials.secret.reveal()}\n"
    try:
        fresh.unlink(missing_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(file)
        fresh.replace(path)
    except OSError as exc:
        raise StartFailed(f"the file `{path}` cannot be written: {exc.strerror}") from None
    return path


def read_credentials(directory: Path) -> Credentials | None:
    """Return the credentials that the first start left in a data directory, None if there are none to read."""
    try:
        return read_credentials_file(directory / CREDENTIALS_FILE)
    except CredentialsInvalid:
        return None
