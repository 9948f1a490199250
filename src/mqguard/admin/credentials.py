"""Credentials of tools in files, and contexts: named sets of options for several clusters.

A credentials file has the form of Apache's `conf/tools.yml`, so that `mqadmin` reads the same file.
"""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials
from mqguard.errors import ErrorKind, MqguardError, NotFound

CREDENTIALS_FILE = "tools.yml"
MAX_FILE_BYTES = 1 << 20

_ACCESS_KEY, _SECRET_KEY = "accessKey", "secretKey"
_Loader: type[yaml.BaseLoader] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Reads every scalar as the written text: the secret `0123` stays that text."""


class CredentialsInvalid(MqguardError):
    """A file with credentials or contexts cannot be read or written, or has another form."""

    kind = ErrorKind.INVALID_INPUT


class Contexts(NamedTuple):
    """Named sets of options.

    Attributes:
        current: Name of the context that is used if none is named; empty for none.
        options: Options of each context, by name of the context and of the option.
    """

    current: str
    options: dict[str, dict[str, Any]]

    def get(self, name: str) -> dict[str, Any]:
        """Return the options of a context.

        Raises:
            NotFound: There is no such context.
        """
        if name not in self.options:
            known = ", ".join(f"`{one}`" for one in sorted(self.options)) or "none"
            raise NotFound(f"there is no context `{name}`; contexts: {known}")
        return self.options[name]


def config_directory() -> Path:
    """Return the directory of the user's own files: `XDG_CONFIG_HOME/mqguard`, else `~/.config/mqguard`."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "mqguard"


def credentials_places(data: Path, *, only_data: bool) -> list[Path]:
    """Return the files in which credentials are looked for, in this order.

    Args:
        data: Data directory of a server on this machine.
        only_data: True if the operator has named the data directory, so that no other place counts.
    """
    places = [data / CREDENTIALS_FILE]
    if not only_data:
        places.append(config_directory() / CREDENTIALS_FILE)
        home = os.environ.get("ROCKETMQ_HOME")
        if home:
            places.append(Path(home) / "conf" / CREDENTIALS_FILE)
    return places


def read_credentials_file(path: Path) -> Credentials | None:
    """Return the credentials in a file, None if the file does not exist.

    Raises:
        CredentialsInvalid: The file cannot be read, or is not a map with `accessKey` and `secretKey`.
    """
    found = _read(path)
    if found is None:
        return None
    name, secret = found.get(_ACCESS_KEY), found.get(_SECRET_KEY)
    if not isinstance(name, str) or not isinstance(secret, str) or not name.strip() or not secret:
        raise CredentialsInvalid(f"the file `{path}` has no credentials: write `accessKey: …` and `secretKey: …` in it")
    return Credentials(name, Secret(secret))


def write_credentials_file(path: Path, credentials: Credentials) -> None:
    """Write credentials into a file that only its owner can read, and keep other keys of the file.

    Raises:
        CredentialsInvalid: The file cannot be written.
    """
    kept: Mapping[str, Any] = {}
    with contextlib.suppress(CredentialsInvalid):
        kept = _read(path) or {}
    values = {**kept, _ACCESS_KEY: credentials.name, _SECRET_KEY: credentials.secret.reveal()}
    _write(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def write_secret_file(path: Path, secret: Secret) -> None:
    """Replace the secret in a file that only its owner can read.

    Raises:
        CredentialsInvalid: The file cannot be written.
    """
    _write(path, secret.reveal() + "\n")


def write_secret_files(out: Path, secrets: Mapping[str, Secret]) -> dict[str, Path]:
    """Write secrets into a new directory, each into a file that only its owner can read.

    Args:
        out: The directory, which does not exist yet.
        secrets: The secrets by user.

    Returns:
        The file of each user.

    Raises:
        CredentialsInvalid: The directory exists, or cannot be written.
    """
    names = {name: secret_file_name(at, name) for at, name in enumerate(secrets, 1)}
    with _written(out), new_directory(out) as whole:
        for name, secret in secrets.items():
            new_secret_file(whole / names[name], secret)
    return {name: out / file for name, file in names.items()}


@contextlib.contextmanager
def new_directory(out: Path) -> Iterator[Path]:
    """Return a directory to write to, which becomes `out` at the end: complete, or not at all.

    Raises:
        OSError: `out` exists, or cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as made:
        whole = Path(made) / "whole"
        whole.mkdir(mode=0o700)
        yield whole
        whole.rename(out)


def new_secret_file(path: Path, secret: Secret) -> None:
    """Write a secret into a new file that only its owner can read.

    Raises:
        OSError: The file exists, or cannot be written.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(secret.reveal() + "\n")
        stream.flush()
        os.fsync(file)


def secret_file_name(number: int, user: str) -> str:
    """Return the name of a user's file, which the number makes unique."""
    return f"{number:03}-{re.sub(r'[^A-Za-z0-9_-]', '_', user)[:80]}"


def contexts_path() -> Path:
    """Return the path of the contexts: `MQGUARD_CONTEXTS`, else a file in the user's configuration directory."""
    said = os.environ.get("MQGUARD_CONTEXTS")
    return Path(said) if said else config_directory() / "contexts.yaml"


def read_contexts(path: Path) -> Contexts:
    """Return the contexts in a file; none if the file does not exist.

    Raises:
        CredentialsInvalid: The file cannot be read, or has another form.
    """
    found = _read(path) or {}
    current, contexts = found.get("current", ""), found.get("contexts") or {}
    if not isinstance(current, str) or not isinstance(contexts, dict) or not all(map(_is_map, contexts.values())):
        raise CredentialsInvalid(
            f"the file `{path}` is not a file of contexts: write `current: NAME` and `contexts: {{NAME: {{…}}}}`"
        )
    return Contexts(current, contexts)


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Replace the file of contexts; only its owner can read and write it.

    Raises:
        CredentialsInvalid: The file cannot be written.
    """
    value = {"current": contexts.current, "contexts": contexts.options}
    _write(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialsInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    try:
        # `_Loader` makes only texts, lists and maps. The message does not quote the file, which holds a secret.
        found = yaml.load(data.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506 - this loader makes texts only
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        raise CredentialsInvalid(f"the file `{path}` is not valid YAML") from None
    if len(data) > MAX_FILE_BYTES or not isinstance(found, dict):
        raise CredentialsInvalid(f"the file `{path}` is not a YAML map")
    return found


def _write(path: Path, text: str) -> None:
    """Replace a file, so that it always has the whole old or the whole new text."""
    with _written(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = path.resolve()
        fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
        fresh.unlink(missing_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(file)
            fresh.replace(target)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CredentialsInvalid(f"the file `{path}` cannot be written: {error.strerror}") from None
