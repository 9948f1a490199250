"""The key that secrets at rest are sealed with: from the environment, or from a file that only its owner can read."""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from mqguard.auth.sealing import KEY_BYTES, SealingKey
from mqguard.errors import MqguardError
from mqguard.store.disk_sync import sync_directory

_RIGHT: Final = f"{KEY_BYTES} random bytes in Base64 or hex"


class SealingKeyUnusable(MqguardError):
    """There is no key to seal secrets with, or one that must not be used."""


def load_sealing_key(path: Path, environment: str | None = None) -> SealingKey:
    """The sealing key.

    Args:
        path: The key file; made with new random bytes and mode 0600 when it is missing and `environment` is None.
        environment: The key itself, as an environment variable gives it; the file is then not looked at.

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
        # Another process was faster: its key is the key.
        return load_sealing_key(path)
    except OSError as exc:
        raise SealingKeyUnusable(f"the key file `{path}` cannot be made: {exc.strerror}") from exc


def _read(path: Path) -> SealingKey:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise SealingKeyUnusable(
                f"the key file `{path}` can be read by others (mode {mode:04o}): `chmod 600 {path}`, and treat the "
                f"secrets that it seals as known"
            )
        text = file.read(4096)
    return _parse(text.decode("ascii", "replace"), f"the key file `{path}`")


def _make(path: Path) -> SealingKey:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    # Written aside and linked into place: a crash leaves no half key, and of two processes one wins.
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
