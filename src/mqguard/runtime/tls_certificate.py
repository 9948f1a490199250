"""The self-signed certificate of a server without one of its own, kept in its data directory.

RocketMQ's gRPC clients use TLS by default and accept any certificate. A certificate that stays the same over restarts
can also be given to clients that check it.
"""

import contextlib
import dataclasses
import datetime as dt
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mqguard.config import server_options
from mqguard.config.loader import Configuration
from mqguard.net import tls
from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.settings import TlsMode, TlsSettings
from mqguard.runtime.errors import StartFailed
from mqguard.store.disk_sync import sync_directory

CERTIFICATE_FILE: Final = "tls-certificate.pem"
KEY_FILE: Final = "tls-key.pem"
RENEWAL_DAYS: Final = 30
"""Days before the end of a certificate in which a start creates a new one."""

_log = logging.getLogger(__name__)


def certificate_directory(config: Configuration) -> Path:
    """Return the directory of the certificate: the data directory, or the one that several brokers share."""
    shared = config.get(server_options.SHARED_ACCESS_PATH)
    return config.get(server_options.STORE_PATH) if shared is None else shared


def with_certificate(settings: TlsSettings, config: Configuration) -> TlsSettings:
    """Return settings with a certificate, created if there is neither a configured nor an earlier one.

    Raises:
        StartFailed: The files cannot be used, or others can read the key.
    """
    if settings.mode is TlsMode.DISABLED or settings.certificate is not None:
        return settings
    directory = certificate_directory(config)
    certificate, key = directory / CERTIFICATE_FILE, directory / KEY_FILE
    with _locked(directory):
        if _is_due(certificate, key, dt.datetime.now(dt.UTC)):
            names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), config.get(server_options.BROKER_IP)]
            made = tls.self_signed_certificate(dict.fromkeys(name for name in names if name and name.isascii()))
            # With only one of the two files, the next start creates both again.
            certificate.unlink(missing_ok=True)
            _write(key, made.key, 0o600)
            _write(certificate, made.certificate, 0o644)
            _log.info("created the self-signed TLS certificate `%s`", certificate)
    _check_mode(key)
    settings = dataclasses.replace(settings, certificate=str(certificate), key=str(key))
    try:
        tls.server_context(settings)
    except NetSettingsInvalid as exc:
        raise StartFailed(f"{exc}: remove both files, and the next start creates new ones") from None
    return settings


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory against other servers that share it."""
    try:
        file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise StartFailed(
            f"the directory `{directory}` of the TLS certificate cannot be used: {exc.strerror}"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _is_due(certificate: Path, key: Path, now: dt.datetime) -> bool:
    if not certificate.exists() or not key.exists():
        return True
    try:
        end = tls.certificate_end(str(certificate))
    except NetSettingsInvalid:
        return False  # never replace what is not known to be ours
    return end - now < dt.timedelta(days=RENEWAL_DAYS)


def _check_mode(key: Path) -> None:
    try:
        mode = key.stat().st_mode & 0o777
    except OSError as exc:
        raise StartFailed(f"the file `{key}` cannot be read: {exc.strerror}") from None
    if mode & 0o077:
        raise StartFailed(
            f"other users can read the TLS key `{key}` (mode {mode:04o}): remove both TLS files of that directory, and "
            "the next start creates new ones"
        )


def _write(path: Path, data: bytes, mode: int) -> None:
    fresh = path.with_suffix(".new")
    try:
        fresh.unlink(missing_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(file)
        fresh.replace(path)
        sync_directory(path.parent)
    except OSError as exc:
        raise StartFailed(f"the file `{path}` cannot be written: {exc.strerror}") from None
