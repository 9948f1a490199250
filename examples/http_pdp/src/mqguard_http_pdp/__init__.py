"""An authorization provider that calls a policy decision point (PDP) over HTTP, and refuses on every error."""

import http.client
import json
import queue
import urllib.parse
from collections.abc import Mapping

from mqguard.guard.plugin_api import AuthorizationRequest, Ruling

MAX_ANSWER = 4_096
"""Maximum size of an answer in bytes; a valid one is much shorter."""


class PdpFailed(Exception):
    """The PDP gave no valid answer. mqguard refuses the request, and logs the error."""


class HttpPdp:
    """Plugin that sends `POST <url>` with the request as JSON; the answer is `{"decision": "allow"}` or another word.

    Args:
        settings: `http_pdp.url`, such as `http://127.0.0.1:8181/decide`, and `http_pdp.timeout_ms`, by default 500.
            In `broker.conf` they are `plugin.http_pdp.url` and `plugin.http_pdp.timeout_ms`.

    Raises:
        ValueError: A setting is missing or not valid. The server then does not start.
    """

    quick = False
    """The plugin waits for the network, so mqguard calls it on worker threads."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        url = urllib.parse.urlsplit(settings.get("http_pdp.url", ""))
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("write the address of the PDP: plugin.http_pdp.url = http://host:port/path")
        timeout = settings.get("http_pdp.timeout_ms", "500")
        if not (timeout.isascii() and timeout.isdigit() and 1 <= int(timeout) <= 60_000):
            raise ValueError(f"plugin.http_pdp.timeout_ms: `{timeout}` is not a number from 1 to 60000")
        self._kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = url.hostname, url.port
        self._path = url.path or "/"
        self._timeout = int(timeout) / 1000
        # Open connections that are not in use: at most one for each thread.
        self._open: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()

    def decide(self, request: AuthorizationRequest) -> Ruling:
        """Call the PDP, and return its decision.

        Raises:
            PdpFailed: The PDP is down, is too slow, or gives another answer.
        """
        body = json.dumps(
            {
                "user": request.user,
                "source": request.source,
                "operation": request.operation,
                "code": request.code,
                "resource": {"type": request.type, "name": request.name},
                "actions": request.actions,
            }
        ).encode()
        try:
            answer = json.loads(self._post(body))
        except (OSError, http.client.HTTPException) as exc:
            raise PdpFailed(f"the PDP cannot be reached: {str(exc) or type(exc).__name__}") from None
        except ValueError:
            raise PdpFailed("the answer of the PDP is not JSON") from None
        word = answer.get("decision") if isinstance(answer, dict) else None
        for ruling in Ruling:
            # Only the exact word `allow` allows.
            if word == ruling.value:
                return ruling
        raise PdpFailed("the answer of the PDP has no `decision` of `allow`, `deny` or `no-opinion`")

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
            # The PDP has closed a connection that was unused for some time: try once more with a new one.
            return self._exchange(self._connection(), body)

    def _connection(self) -> http.client.HTTPConnection:
        return self._kind(self._host, self._port, timeout=self._timeout)

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> bytes:
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = _read(connection.getresponse())
        except BaseException:
            # A later answer on this connection could be the one to this request.
            connection.close()
            raise
        self._open.put(connection)
        return answer


def _read(answer: http.client.HTTPResponse) -> bytes:
    data = answer.read(MAX_ANSWER + 1)
    if answer.status != http.client.OK:
        raise http.client.HTTPException(f"it answers with status {answer.status}")
    if len(data) > MAX_ANSWER:
        raise http.client.HTTPException("its answer is too long")
    return data
