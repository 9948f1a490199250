"""Unix sockets with any path, and the users behind their connections."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MAX_PATH_BYTES: Final = 100
"""The system accepts paths of about this length."""
_CREDENTIALS: Final = struct.Struct("iII")


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a path of a socket that the system accepts, whatever the length of its directory."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """Return a listener on a Unix socket that only its owner can use; an old socket file is replaced.

    Raises:
        OSError: The socket cannot be created.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as name:
            before = os.umask(0o177)
            try:
                listener.bind(name)
            finally:
                os.umask(before)
        listener.listen(64)
        listener.setblocking(False)  # noqa: FBT003 - socket takes it by position
    except BaseException:
        listener.close()
        raise
    return listener


def peer_user(connection: socket.socket) -> int:
    """Return the id of the user whose process has opened a connection.

    Raises:
        OSError: The system does not know it.
    """
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(data)
    return int(uid)
