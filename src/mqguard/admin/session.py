"""Connections to single servers, and the brokers that tools send secrets and signatures to.

A name server lists the brokers that have registered, and an attacker may have registered one. That broker could read
the secrets of new users, and send signed requests again to the real brokers. So tools send nothing to a broker that
the operator has not named or pinned. A broker in the process of the named name server needs no pin.
"""

import contextlib
import functools
import os
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from mqguard.admin.credentials import config_directory
from mqguard.admin.errors import AddressInvalid, BrokerUnknown, PeerRefused
from mqguard.config.secret import Credentials
from mqguard.errors import MqguardError
from mqguard.model.text import visible
from mqguard.net.client import RemotingClient, certificate_fingerprint
from mqguard.net.tls import client_context
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, OwnCode, RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import Header, write

_PIN = re.compile(r"sha256:([0-9a-f]{64})")

Ask = Callable[[str, str, ssl.SSLContext | None], str | None]
"""Asks the operator whether to pin a broker, by address, name and TLS context; returns the pin, or None if refused."""


class KnownBrokersInvalid(MqguardError):
    """The file of pinned brokers cannot be read or written."""


class KnownBrokers:
    """Brokers that the operator has named or pinned.

    Args:
        named: Addresses of brokers that are used instead of those that the name server lists.
        pins: Certificate fingerprints by address; empty where only the address is pinned.
        ask: Asks about an unknown broker; None refuses unknown brokers.

    Attributes:
        named: Addresses of the named brokers.
    """

    def __init__(
        self, named: tuple[str, ...] = (), pins: Mapping[str, str] | None = None, ask: Ask | None = None
    ) -> None:
        self.named = named
        self._pins = dict(pins or {})
        self._ask = ask

    def pin(self, address: str) -> str | None:
        """Return the pinned fingerprint of a broker, None if only its address is known."""
        return self._pins.get(address) or None

    def check(self, address: str, name: str, tls: ssl.SSLContext | None) -> None:
        """Check that a broker is named or pinned, or ask the operator to pin it.

        Raises:
            BrokerUnknown: The broker is not known, and the operator has not pinned it.
        """
        if address in self.named or address in self._pins:
            return
        pin = None if self._ask is None else self._ask(address, name, tls)
        if pin is None:
            called = f"`{visible(name)}` at `{visible(address)}`" if name else f"at `{visible(address)}`"
            raise BrokerUnknown(
                f"the broker {called} is registered at the name server but is unknown here, so nothing was sent to it: "
                "if it is yours, pin it with `mqguard brokers pin ADDRESS`, or name the brokers with `--broker ADDRESS`"
            )
        self._pins[address] = pin


def default_path() -> Path:
    """Return the path of the pins: `MQGUARD_KNOWN_BROKERS`, else a file in the user's configuration directory."""
    said = os.environ.get("MQGUARD_KNOWN_BROKERS")
    if said:
        return Path(said)
    return config_directory() / "known_brokers"


def read_pins(path: Path) -> dict[str, str]:
    """Return the pins of a file by address, an empty map if the file does not exist.

    Raises:
        KnownBrokersInvalid: The file cannot be read, or a line is not `HOST:PORT` or `HOST:PORT sha256:…`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise KnownBrokersInvalid(f"the file `{path}` cannot be read: {reason}") from None
    pins: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        match = _PIN.fullmatch(words[1]) if len(words) == 2 else None
        if len(words) > 2 or (len(words) == 2 and match is None):
            raise KnownBrokersInvalid(f"{path}:{number}: write `HOST:PORT` or `HOST:PORT sha256:FINGERPRINT`")
        pins[words[0]] = match[1] if match else ""
    return pins


def write_pins(path: Path, pins: Mapping[str, str]) -> None:
    """Replace the file of pins; only its owner can read and write it.

    Raises:
        KnownBrokersInvalid: The file cannot be written.
    """
    lines = [f"{address} sha256:{pin}\n" if pin else f"{address}\n" for address, pin in sorted(pins.items())]
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(file)
        fresh.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise KnownBrokersInvalid(f"the file `{path}` cannot be written: {exc.strerror}") from None


TIMEOUT_SECONDS = 5.0
_UNSIGNED = "username cannot be null."
"""Message of Apache RocketMQ and mqguard for a request without a signature."""


class ConnectionOptions(NamedTuple):
    """Options of connections to servers.

    Attributes:
        credentials: Credentials that sign requests; None sends unsigned requests.
        tls: TLS context; None connects without encryption.
        timeout: Maximum seconds to wait for a connection and for each answer.
        known: Brokers that secrets and signatures may be sent to.
        unsigned_hint: Added to the error if a server denies an unsigned request.
    """

    credentials: Credentials | None = None
    tls: ssl.SSLContext | None = None
    timeout: float = TIMEOUT_SECONDS
    known: KnownBrokers = KnownBrokers()
    unsigned_hint: str = ""


class Session:
    """Connection to one server in the name of one user.

    Args:
        address: Address of the server, `host:port`.
        options: Options of the connection.
        fingerprint: SHA-256 in hex of the certificate that the server must show; None accepts any certificate.

    Raises:
        AddressInvalid: The address is not valid.
        LinkRefused: The server cannot be reached.
    """

    def __init__(self, address: str, options: ConnectionOptions, fingerprint: str | None = None) -> None:
        self.address = address
        host, port = split(address)
        self._timeout = options.timeout
        self._hint = "" if options.credentials is not None else options.unsigned_hint
        self._open = functools.partial(
            RemotingClient, host, port, tls=options.tls, timeout=options.timeout, fingerprint=fingerprint
        )
        self._link = self._open(credentials=options.credentials)

    def sign_as(self, credentials: Credentials) -> None:
        """Sign further requests with other credentials, after the secret of the own user has changed.

        Raises:
            LinkRefused: The server cannot be reached.
        """
        self._link.close()
        self._link = self._open(credentials=credentials)

    def call(
        self,
        code: RequestCode | OwnCode,
        header: Header | None = None,
        body: bytes = b"",
        *,
        accept: frozenset[int] = frozenset({0}),
        more_seconds: float = 0.0,
    ) -> Command:
        """Send a request and wait for the response.

        Args:
            code: Request code.
            header: Typed header of the request.
            body: Body of the request.
            accept: Response codes that are not errors.
            more_seconds: Seconds that the response may take beyond the timeout.

        Raises:
            PeerRefused: The response has another code.
            LinkError: The server did not respond.
        """
        ext = {} if header is None else write(header)
        command = Command(code, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, ext, body)
        answer = self._link.call(command, self._timeout + more_seconds)
        if answer.code not in accept:
            remark = answer.remark or ""
            if self._hint and answer.code == ResponseCode.NO_PERMISSION:
                # Apache's words for a missing signature do not help a reader of the hint.
                raise PeerRefused(answer.code, self._hint, remark.removeprefix(_UNSIGNED).strip())
            raise PeerRefused(answer.code, remark)
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


def split(address: str) -> tuple[str, int]:
    """Return host and port of an address.

    Raises:
        AddressInvalid: The text is not a valid address.
    """
    host, colon, port = address.strip().rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise AddressInvalid(f"`{address}` is not a valid address: write HOST:PORT, such as `127.0.0.1:9876`")
    return host, int(port)


def tls_context(ca: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a TLS context for connections to servers.

    Args:
        ca: File with the trusted certificates; None accepts any certificate.
        certificate: File with the certificate to show; None shows none.
        key: File with its key; None if the file of the certificate has it.

    Raises:
        NetSettingsInvalid: A file cannot be read.
    """
    files = (None if file is None else str(file) for file in (ca, certificate, key))
    return client_context(*files)


def shown_fingerprint(address: str, context: ssl.SSLContext, timeout: float) -> str:
    """Return the SHA-256 in hex of the certificate that a server shows now.

    Raises:
        AddressInvalid: The address is not valid.
        LinkRefused: The server cannot be reached, or the TLS handshake fails.
    """
    return certificate_fingerprint(*split(address), context, timeout) or ""
