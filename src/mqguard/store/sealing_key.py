"""The key that seals stored secrets: from the environment, or from a file that only its owner can read.

A new key replaces an old one in three steps. `prepare_key` writes it to another file, the store is written with it, and
`settle_key_file` renames the file. A process may end between any two steps. The next process settles the files by
the key that the store was written with.
"""

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
    found = read_sealing_key(path, environment)
    if found is not None:
        return found
    try:
        _write(path, _random_key())
    except FileExistsError:
        pass  # another process was faster: its key is valid
    except OSError as exc:
        raise SealingKeyUnusable(f"the key file `{path}` cannot be created: {exc.strerror}") from exc
    return load_sealing_key(path)


def read_sealing_key(path: Path, environment: str | None = None) -> SealingKey | None:
    """Return the sealing key as `load_sealing_key` does, None if there is none.

    Raises:
        SealingKeyUnusable: The key is malformed, cannot be read, or can be read by others.
    """
    if environment is not None:
        return parse_sealing_key(environment, "the sealing key from the environment")
    try:
        return _read(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise SealingKeyUnusable(f"the key file `{path}` cannot be read: {exc.strerror}") from exc


def pending_path(path: Path) -> Path:
    """Return the file with the key that is about to replace the one in a key file."""
    return path.with_name(f"{path.name}.new")


def prepare_key(path: Path, text: str | None) -> SealingKey:
    """Write a key to the file from which `settle_key_file` takes it.

    Args:
        path: The key file, which stays as it is.
        text: The key in Base64 or hex; None for a random one.

    Raises:
        SealingKeyUnusable: The text is not a valid key, or the file cannot be written.
    """
    text = _random_key() if text is None else text.strip()
    key = parse_sealing_key(text, "the new sealing key")
    pending = pending_path(path)
    try:
        pending.unlink(missing_ok=True)
        _write(pending, text)
    except OSError as exc:
        raise SealingKeyUnusable(f"the key file `{pending}` cannot be created: {exc.strerror}") from exc
    return key


def settle_key_file(path: Path, sealed_with: str) -> None:
    """Complete or undo the replacement of a key file, after which no other key waits.

    Args:
        path: The key file.
        sealed_with: Id of the key that the store was written with.

    Raises:
        SealingKeyUnusable: The waiting key cannot be read, or the files cannot be changed.
    """
    pending = pending_path(path)
    key = read_sealing_key(pending)
    if key is None:
        return
    try:
        if key.id == sealed_with:
            pending.replace(path)
        else:
            pending.unlink()
        sync_directory(path.parent)
    except OSError as exc:
        raise SealingKeyUnusable(f"the key file `{path}` cannot be replaced: {exc.strerror}") from exc


def _read(path: Path) -> SealingKey:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise SealingKeyUnusable(
                f"other users can read the key file `{path}` (mode {mode:04o}): run `chmod 600 {path}`, and "
                f"rotate the secrets that it seals"
            )
        text = file.read(4096)
    return parse_sealing_key(text.decode("ascii", "replace"), f"the key file `{path}`")


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The key is written to another file and linked: a crash leaves no partial key, and of two processes one wins.
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    aside.unlink(missing_ok=True)  # of a process with the same id that has ended, as in a container
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(aside)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def parse_sealing_key(text: str, what: str) -> SealingKey:
    """Return the key in a text.

    Args:
        text: The key in Base64 or hex.
        what: The origin of the text, for the error.

    Raises:
        SealingKeyUnusable: The text is not a valid key; the error contains nothing of it.
    """
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise SealingKeyUnusable(f"{what} is not {_RIGHT}") from None
    if len(key) != KEY_BYTES:
        raise SealingKeyUnusable(f"{what} has {len(key)} bytes: write {_RIGHT}")
    return SealingKey(key)
