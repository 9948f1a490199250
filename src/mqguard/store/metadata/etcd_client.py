"""Client of etcd: its documented JSON gateway (`/v3/kv/range`, `/v3/kv/txn`, `/v3/watch`), over several endpoints.

Source: etcd's documentation of the gRPC gateway, and `rpc.proto` of etcd 3.4 to 3.6.

Rule 1: a read is sent to the next endpoint if one fails. A write is sent to another endpoint only if no byte of it can
have reached the first one. Otherwise its outcome is unknown (`OutcomeUnknown`).
Rule 2: no error contains a password or a token.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import urllib3
import urllib3.exceptions

from mqguard.auth.errors import MetadataStoreFailed, MetadataStoreFull
from mqguard.auth.user import Secret

_LOG = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 64 << 20
"""Maximum size of one answer of a watch."""
RETRY_S: Final = 0.2
"""Seconds between two attempts of `retry`."""
CONNECT_S: Final = 2.0
"""Maximum seconds to connect to one endpoint."""
_UNAUTHENTICATED: Final = 401
_UNAVAILABLE: Final = 503
_CODE_UNAUTHENTICATED: Final = 16
_CODE_UNAVAILABLE: Final = 14
_CODE_DEADLINE: Final = 4
_CODE_NO_PERMISSION: Final = 7
_CODE_NO_RESOURCES: Final = 8
_TOKEN_ERRORS: Final = ("invalid auth token", "revision of auth store is old", "user name is empty")
_TOO_LARGE: Final = ("too many operations", "too large", "exceeds maximum", "larger than max")


class OutcomeUnknown(MetadataStoreFailed):
    """A write that etcd has not answered: it may have been made, and it may still be made."""


class Compacted(MetadataStoreFailed):
    """A watch or a read of revisions that etcd has removed."""


class EtcdUnreachable(MetadataStoreFailed):
    """An endpoint, or all of them, that did not answer.

    Attributes:
        was_sent: True if a request may have reached etcd.
    """

    def __init__(self, text: str, *, was_sent: bool) -> None:
        super().__init__(text)
        self.was_sent = was_sent


class EtcdTls(NamedTuple):
    """Files for TLS towards etcd.

    Attributes:
        ca: Certificates of the authorities of etcd's certificate; None uses those of the system.
        certificate: The certificate of this client, None without one.
        key: Its key.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class EtcdSettings(NamedTuple):
    """Settings of the connection to etcd.

    Attributes:
        endpoints: Host and port of each member.
        user: Name of the user of etcd; empty without authentication.
        password: Its password.
        tls: Files for TLS, None without TLS.
        timeout_s: Maximum seconds for one answer.
    """

    endpoints: tuple[tuple[str, int], ...]
    user: str = ""
    password: Secret | None = None
    tls: EtcdTls | None = None
    timeout_s: float = 3.0


class KeyValue(msgspec.Struct, gc=False):
    """A key with its value (`mvccpb.KeyValue`)."""

    key: bytes
    value: bytes = b""
    mod_revision: int = 0


class KeyEvent(msgspec.Struct, gc=False):
    """A write or a deletion of one key (`mvccpb.Event`)."""

    kv: KeyValue
    type: str = "PUT"


class _ResponseHeader(msgspec.Struct, gc=False):
    revision: int = 0


class RangeResult(msgspec.Struct):
    """Keys of a range (`RangeResponse`)."""

    header: _ResponseHeader
    kvs: list[KeyValue] = []
    more: bool = False


class TxnResult(msgspec.Struct):
    """The result of a transaction (`TxnResponse`)."""

    header: _ResponseHeader
    succeeded: bool = False


class WatchResult(msgspec.Struct):
    """Events of a watch (`WatchResponse`)."""

    header: _ResponseHeader
    created: bool = False
    canceled: bool = False
    cancel_reason: str = ""
    compact_revision: int = 0
    events: list[KeyEvent] = []


class _WatchLine(msgspec.Struct):
    result: WatchResult | None = None
    error: Mapping[str, object] | None = None


class _Failure(msgspec.Struct):
    message: str = ""
    error: str = ""
    code: int = 0


class _Token(msgspec.Struct):
    token: str = ""


_T = TypeVar("_T")
Json = Mapping[str, object]


class EtcdClient:
    """Calls of etcd (thread-safe).

    Args:
        settings: The settings.

    Raises:
        MetadataStoreFailed: A file for TLS cannot be read.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._scheme = "http" if settings.tls is None else "https"
        more: dict[str, Any] = {} if settings.tls is None else {"ssl_context": _context(settings.tls)}
        # No proxy and no redirect: the token must reach no other server.
        self._pool = urllib3.PoolManager(num_pools=len(settings.endpoints) + 1, maxsize=4, retries=False, **more)
        self._lock = threading.Lock()
        self._current = 0
        self._token = ""
        self._watch: urllib3.BaseHTTPResponse | None = None
        self._is_closed = False

    @property
    def endpoint(self) -> str:
        """The endpoint that is used now, as `HOST:PORT`."""
        return self._name(self._current)

    def close(self) -> None:
        """End the watch, and close all connections. A second call has no effect."""
        self._is_closed = True
        self.end_watch()
        self._pool.clear()

    def range(self, body: Json) -> RangeResult:
        """Read keys.

        Raises:
            Compacted: The revision that is asked for was removed.
            MetadataStoreFailed: No endpoint answers, or etcd refuses.
        """
        return self._call("kv/range", body, RangeResult)

    def transact(self, body: Json) -> TxnResult:
        """Write keys if all comparisons hold.

        Raises:
            OutcomeUnknown: No answer arrived.
            MetadataStoreFull: etcd has no space, or accepts no transaction of this size.
            MetadataStoreFailed: No endpoint can be reached, or etcd refuses. Nothing was written.
        """
        return self._call("kv/txn", body, TxnResult, is_write=True)

    def compact(self, revision: int) -> None:
        """Remove the history before a revision.

        Raises:
            MetadataStoreFailed: No endpoint answers, or etcd refuses.
        """
        self._call("kv/compaction", {"revision": revision}, dict[str, object])

    def watch(self, body: Json) -> Iterator[WatchResult]:
        """Yield the answers of a watch, until it ends.

        Raises:
            Compacted: The revision to begin with was removed.
            MetadataStoreFailed: The watch cannot begin, or it was cut.
        """
        response = self._open_watch(body)
        self._watch = response
        try:
            for line in self._lines(response):
                yield _watch_result(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as exc:
            raise MetadataStoreFailed(f"the watch of etcd at `{self.endpoint}` was cut: {_reason(exc)}") from None
        finally:
            self._watch = None
            response.close()
        raise MetadataStoreFailed(f"etcd at `{self.endpoint}` has ended the watch")

    def end_watch(self) -> None:
        """Cut the watch, in whichever thread it waits."""
        response = self._watch
        if response is not None:
            try:
                response.shutdown()
            except (ValueError, OSError, RuntimeError):
                response.close()

    def next_endpoint(self) -> None:
        """Use the next endpoint from now on."""
        with self._lock:
            self._current = (self._current + 1) % len(self._settings.endpoints)

    # Requests

    def _call(self, path: str, body: Json, kind: type[_T], *, is_write: bool = False) -> _T:
        """Send a request, to the next endpoint if one cannot be reached.

        Args:
            path: The path after `/v3/`.
            body: The request.
            kind: Type of the answer.
            is_write: True if the request must not be sent twice.
        """
        data = msgspec.json.encode(body)
        last = ""
        for _ in self._settings.endpoints:
            at = self._current
            try:
                return self._ask(at, path, data, kind)
            except EtcdUnreachable as exc:
                last = str(exc)
                if is_write and exc.was_sent:
                    self._leave(at)
                    raise OutcomeUnknown(str(exc)) from None
            self._leave(at)
        raise EtcdUnreachable(last, was_sent=False)

    def _leave(self, at: int) -> None:
        with self._lock:
            if self._current == at:
                self._current = (at + 1) % len(self._settings.endpoints)

    def _ask(self, at: int, path: str, data: bytes, kind: type[_T]) -> _T:
        for is_last in (False, True):
            response = self._post(at, path, data)
            if response.status == 200:
                try:
                    return msgspec.json.decode(response.data, type=kind, strict=False)
                except (msgspec.MsgspecError, UnicodeError):
                    raise MetadataStoreFailed(f"`{self._name(at)}` does not answer like etcd 3.4 or newer") from None
            failure = _failure(response)
            if is_last or not self._settings.user or not _is_token_error(failure):
                raise _refusal(self._name(at), failure, response.status)
            self._log_in(at)
        raise AssertionError  # pragma: no cover - the second turn returns or raises

    def _post(self, at: int, path: str, data: bytes, *, is_stream: bool = False) -> urllib3.BaseHTTPResponse:
        if self._is_closed:
            raise MetadataStoreFailed("the store of users and policies is closed")
        if self._settings.user and not self._token and path != "auth/authenticate":
            self._log_in(at)
        headers = {"Content-Type": "application/json"}
        if self._token and path != "auth/authenticate":
            headers["Authorization"] = self._token
        read_s = None if is_stream else self._settings.timeout_s
        try:
            return self._pool.request(
                "POST",
                f"{self._scheme}://{self._name(at)}/v3/{path}",
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=min(CONNECT_S, self._settings.timeout_s), read=read_s),
                preload_content=not is_stream,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            was_sent = not isinstance(
                exc,
                urllib3.exceptions.NewConnectionError
                | urllib3.exceptions.ConnectTimeoutError
                | urllib3.exceptions.SSLError,
            )
            text = f"etcd at `{self._name(at)}` cannot be reached: {_reason(exc)}"
            raise EtcdUnreachable(text, was_sent=was_sent) from None

    def _log_in(self, at: int) -> None:
        settings = self._settings
        secret = "" if settings.password is None else settings.password.reveal()
        self._token = ""
        body = msgspec.json.encode({"name": settings.user, "password": secret})
        response = self._post(at, "auth/authenticate", body)
        if response.status != 200:
            failure = _failure(response)
            if failure.code in {_CODE_UNAVAILABLE, _CODE_DEADLINE}:
                raise EtcdUnreachable(f"etcd at `{self._name(at)}` cannot authenticate now", was_sent=False)
            raise MetadataStoreFailed(
                f"etcd at `{self._name(at)}` does not accept the user `{settings.user}`: check `etcdUser` and "
                "`etcdPassword`"
            )
        try:
            self._token = msgspec.json.decode(response.data, type=_Token).token
        except (msgspec.MsgspecError, UnicodeError):
            raise MetadataStoreFailed(f"`{self._name(at)}` does not answer like etcd 3.4 or newer") from None

    def _open_watch(self, body: Json) -> urllib3.BaseHTTPResponse:
        data = msgspec.json.encode(body)
        for is_last in (False, True):
            at = self._current
            response = self._post(at, "watch", data, is_stream=True)
            if response.status == 200:
                return response
            failure = _failure(response)
            response.close()
            if is_last or not self._settings.user or not _is_token_error(failure):
                raise _refusal(self._name(at), failure, response.status)
            self._log_in(at)
        raise AssertionError  # pragma: no cover - the second turn returns or raises

    def _lines(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        buffer = b""
        for chunk in response.stream():
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            if len(buffer) > MAX_LINE_BYTES:
                raise MetadataStoreFailed(f"etcd at `{self.endpoint}` sends an answer that is too large")
            yield from (line for line in lines if line)

    def _name(self, at: int) -> str:
        host, port = self._settings.endpoints[at]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def retry(call: Callable[[], _T], seconds: float) -> _T:
    """Repeat a call while no endpoint answers.

    Raises:
        EtcdUnreachable: None has answered for this time.
        MetadataStoreFailed: The call has failed in another way.
    """
    end, is_logged = time.monotonic() + seconds, False
    while True:
        try:
            return call()
        except EtcdUnreachable as exc:
            if time.monotonic() >= end:
                raise
            if not is_logged:
                _LOG.warning("%s: trying again for %d s", exc, seconds)
            is_logged = True
        time.sleep(RETRY_S)


def _watch_result(line: bytes) -> WatchResult:
    try:
        found = msgspec.json.decode(line, type=_WatchLine, strict=False)
    except (msgspec.MsgspecError, UnicodeError):
        raise MetadataStoreFailed("the watch does not answer like etcd 3.4 or newer") from None
    result = found.result
    if result is None:
        raise MetadataStoreFailed(f"the watch of etcd has failed: {str((found.error or {}).get('message', ''))[:200]}")
    if result.compact_revision:
        raise Compacted(f"etcd has removed the history before revision {result.compact_revision}")
    if result.canceled:
        raise MetadataStoreFailed(f"etcd has cancelled the watch: {result.cancel_reason[:200]}")
    return result


def _failure(response: urllib3.BaseHTTPResponse) -> _Failure:
    try:
        return msgspec.json.decode(response.data, type=_Failure, strict=False)
    except (msgspec.MsgspecError, UnicodeError, urllib3.exceptions.HTTPError):
        return _Failure()


def _is_token_error(failure: _Failure) -> bool:
    text = failure.message or failure.error
    return failure.code == _CODE_UNAUTHENTICATED or any(word in text for word in _TOKEN_ERRORS)


def _refusal(endpoint: str, failure: _Failure, status: int) -> MetadataStoreFailed:
    text = (failure.message or failure.error)[:200] or f"HTTP status {status}"
    if failure.code in {_CODE_UNAVAILABLE, _CODE_DEADLINE} or (status == _UNAVAILABLE and not failure.code):
        return EtcdUnreachable(f"etcd at `{endpoint}` cannot answer now: {text}", was_sent=True)
    if "compacted" in text:
        return Compacted(f"etcd at `{endpoint}`: {text}")
    if any(word in text for word in _TOO_LARGE):
        return MetadataStoreFull(
            f"etcd at `{endpoint}` does not accept a change of this size ({text}): make several smaller changes, or "
            "start etcd with larger `--max-txn-ops` and `--max-request-bytes`"
        )
    if failure.code == _CODE_NO_RESOURCES:
        return MetadataStoreFull(f"etcd at `{endpoint}` has no space: {text}")
    if failure.code == _CODE_UNAUTHENTICATED or status == _UNAUTHENTICATED or _is_token_error(failure):
        return MetadataStoreFailed(f"etcd at `{endpoint}` demands a user: set `etcdUser` and `etcdPassword`")
    if failure.code == _CODE_NO_PERMISSION:
        return MetadataStoreFailed(
            f"etcd at `{endpoint}` refuses ({text}): grant a role that may read and write `etcdPrefix` to `etcdUser`"
        )
    return MetadataStoreFailed(f"etcd at `{endpoint}` refuses: {text}")


def _reason(exc: Exception) -> str:
    if isinstance(exc, urllib3.exceptions.NameResolutionError):
        return "its name cannot be resolved"
    if isinstance(exc, urllib3.exceptions.NewConnectionError):
        return "it does not accept connections"
    if isinstance(exc, urllib3.exceptions.TimeoutError):
        return "it does not answer in time"
    if isinstance(exc, urllib3.exceptions.SSLError):
        return f"TLS failed: {' '.join(str(exc).split())[:200]}"
    return " ".join(str(exc).split())[:200] or type(exc).__name__


def _context(tls: EtcdTls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
        if tls.certificate is not None:
            context.load_cert_chain(str(tls.certificate), None if tls.key is None else str(tls.key), password="")
    except (OSError, ValueError) as exc:
        files = [f"`{path}`" for path in tls if path is not None]
        raise MetadataStoreFailed(f"the TLS files {', '.join(files)} for etcd cannot be used: {exc}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key after all keys with a prefix."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def request_put(key: bytes, value: bytes) -> Json:
    """Return the operation that writes a key."""
    return {"request_put": {"key": key, "value": value}}


def request_delete(key: bytes) -> Json:
    """Return the operation that removes a key."""
    return {"request_delete_range": {"key": key}}


def same_revision(key: bytes, revision: int) -> Json:
    """Return the comparison that holds if the last write of a key has this revision; 0 if there is no such key."""
    return {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def transaction(compare: Sequence[Json], success: Sequence[Json]) -> Json:
    """Return the request that makes all operations if all comparisons hold."""
    return {"compare": list(compare), "success": list(success)}
