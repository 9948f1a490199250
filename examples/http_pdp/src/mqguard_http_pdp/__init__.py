"""An authorization provider that asks a policy decision point (PDP) over HTTP, and refuses whatever goes wrong."""

import http.client
import json
import queue
import urllib.parse
from collections.abc import Mapping

from mqguard.guard.plugin_api import AuthorizationRequest, Ruling

LONGEST_ANSWER = 4_096
"""Bytes; an answer is a word."""


class PdpFailed(Exception):
    """The PDP gave no answer that can be used. mqguard makes a refusal of it, and logs it."""


class HttpPdp:
    """Asks `POST <url>` with the question as JSON; the answer is `{"decision": "allow"}`, or `deny` or `silent`.

    Args:
        settings: `http_pdp.url`, such as `http://127.0.0.1:8181/decide`; `http_pdp.timeout_ms`, 500 if it is not said.
            They stand in `broker.conf` as `plugin.http_pdp.url` and `plugin.http_pdp.timeout_ms`.

    Raises:
        ValueError: A setting is missing or wrong; it stops the start of the server.
    """

    quick = False
    """It waits for the network, so it is asked in threads of its own."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        url = urllib.parse.urlsplit(settings.get("http_pdp.url", ""))
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("write the address of the PDP: plugin.http_pdp.url = http://host:port/path")
        timeout = settings.get("http_pdp.timeout_ms", "500")
        if not (timeout.isascii() and timeout.isdigit() and 1 <= int(timeout) <= 60_000):
            raise ValueError(f"plugin.http_pdp.timeout_ms: `{timeout}` is no number from 1 to 60000")
        self._kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = url.hostname, url.port
        self._path = url.path or "/"
        self._timeout = int(timeout) / 1000
        # Connections that are open and not in use, at most as many as there are threads.
        self._open: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()

    def decide(self, question: AuthorizationRequest) -> Ruling:
        """Ask.

        Raises:
            PdpFailed: The PDP is down, too slow, or answers something else.
        """
        body = json.dumps(
            {
                "user": question.user,
                "source": question.source,
                "code": question.code,
                "resource": {"type": question.type, "name": question.name},
                "actions": question.actions,
            }
        ).encode()
        try:
            answer = json.loads(self._post(body))
        except (OSError, http.client.HTTPException) as exc:
            raise PdpFailed(f"the PDP cannot be asked: {str(exc) or type(exc).__name__}") from None
        except ValueError:
            raise PdpFailed("the answer of the PDP is not JSON") from None
        word = answer.get("decision") if isinstance(answer, dict) else None
        for ruling in Ruling:
            # Nothing but the very word allows.
            if word == ruling.value:
                return ruling
        raise PdpFailed('the answer of the PDP has no "decision" of "allow", "deny" or "silent"')

    def close(self) -> None:
        """Close the connections that are not in use."""
        while True:
            try:
                self._open.get_nowait().close()
            except queue.Empty:
                return

    def _post(self, body: bytes) -> bytes:
        try:
            connection = self._open.get_nowait()
        except queue.Empty:
            return self._exchange(self._connection(), body)
        try:
            return self._exchange(connection, body)
        except (ConnectionError, http.client.CannotSendRequest):
            # The PDP has closed a connection that was not used for a while: once more over a new one.
            return self._exchange(self._connection(), body)

    def _connection(self) -> http.client.HTTPConnection:
        return self._kind(self._host, self._port, timeout=self._timeout)

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> bytes:
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = _read(connection.getresponse())
        except BaseException:
            # What comes over this connection next might be the answer to this question.
            connection.close()
            raise
        self._open.put(connection)
        return answer


def _read(answer: http.client.HTTPResponse) -> bytes:
    data = answer.read(LONGEST_ANSWER + 1)
    if answer.status != http.client.OK:
        raise http.client.HTTPException(f"it answers with status {answer.status}")
    if len(data) > LONGEST_ANSWER:
        raise http.client.HTTPException("its answer is too long")
    return data
