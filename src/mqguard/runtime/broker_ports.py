"""The ports at which the guard offers the brokers of a cluster, stored in the data directory.

Firewalls name these ports, so a broker keeps its port when it moves, and when the guard restarts.
"""

import os
from collections.abc import Callable, Container
from pathlib import Path

import msgspec

from mqguard.config.proxy_options import PortRange
from mqguard.runtime.errors import StartFailed
from mqguard.store.disk_sync import sync_directory
from mqguard.store.errors import StoreFailed

PORTS_FILE = "broker-ports.json"
"""File within the data directory."""
_BLOCK = 4
"""Four ports in a row serve two brokers: each has a port, and the one two below it for the VIP channel."""


class PortAssignment:
    """The port of each broker, by its key such as `broker-a/0`.

    Args:
        path: The file.
        ports: The ports that may be used.

    Raises:
        StartFailed: The file cannot be read.
    """

    def __init__(self, path: Path, ports: PortRange) -> None:
        self._path = path
        self._ports = ports
        self._used: dict[str, int] = {key: port for key, port in _read(path).items() if self._is_usable(port)}

    def get(self, key: str, is_gone: Callable[[str], bool]) -> int | None:
        """Return the port of a broker, which may be new.

        Args:
            key: Key of the broker.
            is_gone: Returns True for the key of a broker that has left, whose port may be given to this one if no
                other port is left.

        Returns:
            The port, 0 to take any free one, None if all ports are used.
        """
        known = self._used.get(key)
        if known is not None:
            return known
        if not self._ports.first:
            return 0
        free = self._free(set(self._used.values()))
        if free is None:
            gone = next((one for one in self._used if is_gone(one)), None)
            free = None if gone is None else self._used.pop(gone)
        return free

    def put(self, key: str, port: int) -> None:
        """Store the port of a broker; it survives a crash of the machine once this returns.

        Raises:
            StoreFailed: It cannot be written.
        """
        if self._used.get(key) == port:
            return
        self._used[key] = port
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(self._used))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as exc:
            raise StoreFailed(f"the file `{self._path}` cannot be written: {exc.strerror}") from None

    def _is_usable(self, port: int) -> bool:
        first, last = self._ports
        return not first or (first + 2 <= port <= last and (port - first) % _BLOCK >= _BLOCK // 2)

    def _free(self, used: Container[int]) -> int | None:
        first, last = self._ports
        return next((port for port in range(first + 2, last + 1) if self._is_usable(port) and port not in used), None)


def _read(path: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise StartFailed(f"the file `{path}` cannot be read: {exc.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StartFailed(f"the file `{path}` is damaged: restore it from a backup or remove it") from None
