"""Finding the files of ACL 1.0 under a RocketMQ home, in the order in which its migrator counts them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mqguard.config.errors import ConfigInvalid

DEFAULT_FILE = "conf/plain_acl.yml"
"""Relative to the home; the property `rocketmq.acl.plain.file` names another one."""

_DIRECTORY = "conf/acl"
_ENDINGS = (".yml", ".yaml")
_MAX_FILE = 64 << 20


class AclV1Text(NamedTuple):
    """What one file holds.

    Attributes:
        name: The file.
        text: All of it.
        unordered: Whether ACL 1.0 reads it in the order in which a directory happens to list its files.
    """

    name: str
    text: str
    unordered: bool


def read_acl_v1(home: Path, plain_file: str = DEFAULT_FILE) -> list[AclV1Text]:
    """Every ACL 1.0 file, ready for `auth.migration.plain.read_plain`.

    First all YAML files under `conf/acl`, by their path, then the plain file. Files that are missing are none.

    Args:
        home: The RocketMQ home.
        plain_file: The plain file, relative to the home.

    Raises:
        ConfigInvalid: The home is no directory, or a file cannot be read.
    """
    if not home.is_dir():
        raise ConfigInvalid(f"the RocketMQ home `{home}` is no directory")
    plain = home / plain_file
    return [AclV1Text(str(path), read_acl_v1_file(path), path != plain) for path in _paths(home, plain)]


def read_acl_v1_file(path: Path) -> str:
    """The text of one file.

    Raises:
        ConfigInvalid: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigInvalid(f"the ACL file `{path}` cannot be read: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise ConfigInvalid(f"the ACL file `{path}` is longer than {_MAX_FILE >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigInvalid(f"the ACL file `{path}` is no UTF-8") from None


def _paths(home: Path, plain: Path) -> Iterator[Path]:
    for path in sorted((home / _DIRECTORY).rglob("*")):
        if path.suffix in _ENDINGS and path.is_file() and path != plain:
            yield path
    if plain.is_file():
        yield plain
