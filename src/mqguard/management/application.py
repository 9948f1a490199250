"""The answers of the HTTP listener: `/metrics`, `/livez` and `/readyz`."""

import base64
import binascii
import ipaddress
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mqguard import __version__
from mqguard.auth.throttle import Throttle, ThrottleLimits
from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials
from mqguard.management.health import Health

_LOG = logging.getLogger(__name__)

MAX_AUTHORIZATION: Final = 1_024
"""Maximum length of an `Authorization` header."""
_GUESSES: Final = ThrottleLimits(
    pair_burst=10, pair_per_second=1.0, address_burst=20, address_per_second=2.0, max_counts=1_024
)
_CHALLENGE: Final = {"www-authenticate": 'Basic realm="mqguard", charset="UTF-8"'}


def application(
    health: Health, registry: CollectorRegistry, credentials: Credentials | None, now_ms: Callable[[], int]
) -> ASGIApp:
    """Return the application of the listener.

    Args:
        health: The health of the process.
        registry: The metrics of the process.
        credentials: The credentials that requests must have, None for none.
        now_ms: Returns milliseconds of a monotonic clock.
    """

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def live(_request: Request) -> Response:
        # The event loop that serves clients answers this request, so an answer shows that it runs.
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        problems = health.problems()
        body = {
            "ready": not problems,
            "role": health.role,
            "state": health.state.value,
            "version": __version__,
            "problems": problems,
        }
        return Response(msgspec.json.encode(body) + b"\n", 503 if problems else 200, media_type="application/json")

    routes = [Route("/metrics", metrics), Route("/livez", live), Route("/readyz", ready)]
    return _Gate(Starlette(routes=routes), credentials, now_ms)


class _Gate:
    """The check that every request passes before a route is chosen.

    A request without required credentials learns nothing, not even which paths exist. Without credentials the listener
    is at a loopback address: there the name in `Host` must be an address or `localhost`, since a web page whose name
    was bound to a loopback address could otherwise read the answers in a browser.
    """

    def __init__(self, app: ASGIApp, credentials: Credentials | None, now_ms: Callable[[], int]) -> None:
        self._app = app
        self._credentials = credentials
        self._now_ms = now_ms
        self._throttle = Throttle(_GUESSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            refusal = self._refusal(HTTPConnection(scope))
        except Exception:  # noqa: BLE001 - an unexpected error refuses the request
            _LOG.exception("an HTTP request could not be authenticated: internal error")
            refusal = PlainTextResponse("internal error\n", 500)
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """Return the answer to a request that is refused, None to serve it."""
        expected = self._credentials
        if expected is None:
            if _is_local_name(request.headers.get("host", "")):
                return None
            return PlainTextResponse("the name in `Host` must be an address or `localhost`\n", 421)
        address = request.client.host if request.client is not None else ""
        found = _basic(request.headers.get("authorization", ""))
        if found is None:
            return PlainTextResponse("credentials are required\n", 401, _CHALLENGE)
        name, secret = found
        # The throttle knows one name: an attacker chooses the others.
        if self._throttle.wait_ms(expected.name, address, self._now_ms()) > 0:
            return PlainTextResponse("too many wrong credentials: try again later\n", 429)
        if name == expected.name and expected.secret.equals(Secret(secret)):
            self._throttle.succeeded(expected.name, address)
            return None
        self._throttle.failed(expected.name, address, self._now_ms())
        return PlainTextResponse("the credentials are not valid\n", 401, _CHALLENGE)


def _is_local_name(host: str) -> bool:
    """Return True if a `Host` header has an address or `localhost`."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.lower() == "localhost"
    return True


def _basic(header: str) -> tuple[str, str] | None:
    """Return the name and the secret of an `Authorization` header, None if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > MAX_AUTHORIZATION:
        return None
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, secret) if colon else None
