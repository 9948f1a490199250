"""The name server's key-value configuration, in one small file."""

import os
from pathlib import Path

import msgspec

from mqguard.store.errors import StoreCorrupt, StoreFailed
from mqguard.store.fsync import sync_directory


class KvFile:
    """Reads and replaces the file (`namesrv.kv.KvStore`).

    Args:
        path: The file; made with the first value.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, dict[str, str]]:
        """All values, by namespace and key.

        Raises:
            StoreCorrupt: The file is not what `save` writes.
            StoreFailed: It cannot be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StoreFailed(f"the file `{self._path}` cannot be read: {exc.strerror}") from None
        try:
            return msgspec.json.decode(data, type=dict[str, dict[str, str]])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise StoreCorrupt(f"the file `{self._path}` is damaged: restore it from a backup or remove it") from None

    def save(self, values: dict[str, dict[str, str]]) -> None:
        """Replace all values; they survive a crash of the machine once this returns.

        Raises:
            StoreFailed: They cannot be written; the old ones stay.
        """
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(values))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as exc:
            raise StoreFailed(f"the file `{self._path}` cannot be written: {exc.strerror}") from None
