"""The first administrator: a random secret, told once, and kept where only its owner reads it.

The file has the form of Apache's `conf/tools.yml`, so that `mqadmin` signs with it when it is copied there.
"""

import os
from pathlib import Path

from mqguard.admin.credentials import CREDENTIALS_FILE, CredentialsInvalid, read_credentials_file
from mqguard.config.secret import Credentials
from mqguard.runtime.errors import StartFailed

ADMIN = "admin"
"""The name of the super user that is made when there is none."""


def save_credentials(directory: Path, credentials: Credentials) -> Path:
    """Write the credentials file, readable by its owner alone, and make it durable.

    Returns:
        The path of the file.

    Raises:
        StartFailed: It cannot be written.
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
