"""The files of ACL 1.0 in a RocketMQ home, in the order of its migrator."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from mqguard.config.errors import ConfigInvalid

DEFAULT_FILE = "conf/plain_acl.yml"
"""Relative to the home; the property `rocketmq.acl.plain.file` names another one."""

_DIRECTORY = "conf/acl"
_ENDINGS = (".yml", ".yaml")
MAX_FILE_BYTES = 64 << 20


class AclV1Text(NamedTuple):
    """The content of one file.

    Attributes:
        name: The name of the file.
        text: The whole content.
        unordered: True if ACL 1.0 reads it in the order in which the operating system lists the directory.
    """

    name: str
    text: str
    unordered: bool


def read_acl_v1(home: Path, plain_file: str = DEFAULT_FILE) -> list[AclV1Text]:
    """Read every ACL 1.0 file, ready for `auth.migration.acl_v1.read_plain`.

    The YAML files under `conf/acl` come first, by path, then the plain file. Missing files are skipped.

    Args:
        home: The RocketMQ home.
        plain_file: The plain file, relative to the home.

    Raises:
        ConfigInvalid: The home is not a directory, or a file or directory cannot be read.
    """
    try:
        is_directory = home.is_dir()
    except OSError as error:
        raise ConfigInvalid(f"the RocketMQ home `{home}` cannot be read: {error.strerror}") from None
    if not is_directory:
        raise ConfigInvalid(f"the RocketMQ home `{home}` is not a directory")
    plain = home / plain_file
    return [AclV1Text(str(path), read_acl_v1_file(path), path != plain) for path in _paths(home, plain)]


def read_acl_v1_file(path: Path) -> str:
    """Return the text of one file.

    Raises:
        ConfigInvalid: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(f"the ACL file `{path}` cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigInvalid(f"the ACL file `{path}` is longer than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigInvalid(f"the ACL file `{path}` is not UTF-8") from None


def _paths(home: Path, plain: Path) -> Iterator[Path]:
    for path in sorted(_listed(home / _DIRECTORY)):
        if path != plain:
            yield path
    if _is_there(plain):
        yield plain


def _listed(directory: Path) -> Iterator[Path]:
    """Yield every YAML file below a directory; links are followed, as in Java, and each directory is visited once."""
    if not _is_there(directory):
        return
    visited: set[str] = set()
    for at, below, names in os.walk(directory, onerror=_refuse, followlinks=True):
        place = os.path.realpath(at)
        if place in visited:
            below.clear()
            continue
        visited.add(place)
        for path in (Path(at, name) for name in names):
            if path.suffix in _ENDINGS and _is_to_be_read(path):
                yield path


def _is_to_be_read(path: Path) -> bool:
    # Broken links and inaccessible files are not skipped: reading them fails with an error.
    try:
        return path.is_file() or not path.exists()
    except OSError:
        return True


def _is_there(path: Path) -> bool:
    """True if such a file, directory or link exists.

    Raises:
        ConfigInvalid: That is unknown, such as below a directory without search permission.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigInvalid(f"`{path}` cannot be read: {error.strerror}") from None
    return True


def _refuse(error: OSError) -> NoReturn:
    # A directory that cannot be listed may contain accounts, which must not be skipped without an error.
    raise ConfigInvalid(f"the ACL directory `{error.filename}` cannot be read: {error.strerror}") from None
