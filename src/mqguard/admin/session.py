"""One connection to a name server or broker: signs what it sends, and turns refusals into errors."""

import itertools
from collections.abc import Callable
from typing import Protocol

from mqguard.admin.errors import PeerRefused
from mqguard.auth.signature import sign
from mqguard.config.secret import Credentials
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import Header, write
from mqguard.remoting.signing import ACCESS_KEY, SIGNATURE, signed_content

TIMEOUT_SECONDS = 5.0


class Wire(Protocol):
    """A blocking connection."""

    def call(self, command: Command, timeout: float) -> Command:
        """Send a request and wait for its answer.

        Raises:
            Unreachable: There is none in time, or the connection is gone.
        """
        ...  # pragma: no cover

    def close(self) -> None:
        """Close the connection; doing it twice is fine."""
        ...  # pragma: no cover


Dial = Callable[[str], Wire]
"""Connects to an address, `host:port`."""


class Session:
    """Requests to one server in the name of one user.

    Attributes:
        address: `host:port` of the server.
    """

    def __init__(self, address: str, wire: Wire, credentials: Credentials | None) -> None:
        self.address = address
        self._wire = wire
        self._credentials = credentials
        self._opaques = itertools.count(1)

    def call(
        self,
        code: RequestCode,
        header: Header | None = None,
        body: bytes = b"",
        *,
        accept: frozenset[int] = frozenset({0}),
        timeout: float = TIMEOUT_SECONDS,
    ) -> Command:
        """Ask and wait for the answer.

        Args:
            code: What to ask for.
            header: Its typed header.
            body: Its body.
            accept: Response codes that are no error.
            timeout: Seconds to wait.

        Raises:
            PeerRefused: The answer has another code.
            Unreachable: There is no answer.
        """
        ext = {} if header is None else write(header)
        if self._credentials is not None:
            ext[ACCESS_KEY] = self._credentials.name
            ext[SIGNATURE] = sign(self._credentials.secret, signed_content(ext, body, SERVER_VERSION))
        # The language tells servers which quirks of a client to mind; ours has those of Java, after which it is made.
        command = Command(code, next(self._opaques), 0, SERVER_VERSION, LanguageCode.JAVA, None, ext, body)
        answer = self._wire.call(command, timeout)
        if answer.code not in accept:
            raise PeerRefused(answer.code, answer.remark or "")
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()
