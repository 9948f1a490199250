"""The key that seals stored secrets: from the environment, or from a file that only its owner can read."""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from mqguard.auth.seal import KEY_BYTES, SealingKey
from mqguard.errors import MqguardError
from mqguard.store.disk_sync import sync_directory

_RIGHT: Final = f"{KEY_BYTES} random bytes in Base64 or hex"


class SealingKeyUnusable(MqguardError):
    """A sealing key that is missing, malformed or readable by others."""


def load_sealing_key(path: Path, environment: str | None = None) -> SealingKey:
    """Return the sealing key.

    Args:
        path: The key file. If it is missing and `environment` is None, it is created with random bytes and mode 0600.
        environment: The key itself, from an environment variable; the file is not used then.

    Raises:
        SealingKeyUnusable: The key is malformed, cannot be read or written, or can be read by others.
    """
    if environment is not None:
        return _parse(environment, "the sealing key from the environment")
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise SealingKeyUnusable(f"the key file `{path}` cannot be read: {exc.strerror}") from exc
    try:
        return _make(path)
    except FileExistsError:
        # Another process was faster: its key is valid.
        return load_sealing_key(path)
    except OSError as exc:
        raise SealingKeyUnusable(f"the key file `{path}` cannot be created: {exc.strerror}") from exc


def _read(path: Path) -> SealingKey:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise SealingKeyUnusable(
                f"other users can read the key file `{path}` (mode {mode:04o}): run `chmod 600 {path}`, and "
                f"rotate the secrets that it seals"
            )
        text = file.read(4096)
    return _parse(text.decode("ascii", "replace"), f"the key file `{path}`")


def _make(path: Path) -> SealingKey:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    # The key is written to another file and linked: a crash leaves no partial key, and of two processes one wins.
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(aside)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)
    return SealingKey(key)


def _parse(text: str, what: str) -> SealingKey:
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise SealingKeyUnusable(f"{what} is not {_RIGHT}") from None
    if len(key) != KEY_BYTES:
        raise SealingKeyUnusable(f"{what} has {len(key)} bytes: write {_RIGHT}")
    return SealingKey(key)
