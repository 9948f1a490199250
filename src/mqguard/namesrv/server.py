"""The name server's handlers put together, and its configuration over the wire (318, 319)."""

from collections.abc import Mapping

from mqguard.config import properties
from mqguard.config.errors import ConfigInvalid
from mqguard.dispatch.request import Handler, Request
from mqguard.model.process import Clock
from mqguard.namesrv.kv import KvProcessor, KvTable
from mqguard.namesrv.registration import BrokerRegistrationProcessor
from mqguard.namesrv.route_processor import RouteProcessor
from mqguard.namesrv.route_table import RouteTable
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.link import Link


class NameServer:
    """Name server without sockets and guard.

    Args:
        routes: Brokers and topics.
        kv: Key-value configuration.
        clock: Clock for the expiry of brokers.
        configuration: Keys and values that can be read over the wire, without secrets. None can be changed there.
    """

    def __init__(self, routes: RouteTable, kv: KvTable, clock: Clock, configuration: dict[str, str]) -> None:
        self._routes = routes
        self._kv = kv
        self._clock = clock
        self._configuration = configuration

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        parts = (
            RouteProcessor(self._routes, self._kv).handlers(),
            BrokerRegistrationProcessor(self._routes, self._kv, self._clock).handlers(),
            KvProcessor(self._kv).handlers(),
            ConfigurationProcessor(self._configuration).handlers(),
        )
        return {code: handler for part in parts for code, handler in part.items()}

    def closed(self, link: Link) -> None:
        """Remove the brokers that registered over a closed connection."""
        self._routes.leave(link.peer.channel)

    def tick(self) -> None:
        """Remove brokers without a recent heartbeat. It should be called about once a second."""
        self._routes.expire(self._clock.monotonic_ms())


class ConfigurationProcessor:
    """Handlers for the configuration, which is read-only.

    Args:
        values: Keys and values, without secrets.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.UPDATE_NAMESRV_CONFIG: self.update,
            RequestCode.GET_NAMESRV_CONFIG: self.get,
        }

    def get(self, request: Request) -> Reply:
        """Return all keys and values (319)."""
        del request
        return Reply(body=properties.write(sorted(self._values.items())).encode())

    def update(self, request: Request) -> Reply:
        """Refuse the change (318): all keys of a name server concern listeners, paths or security."""
        try:
            found = properties.parse(properties.decode(request.command.body), "request")
        except ConfigInvalid as exc:
            return Reply(ResponseCode.INVALID_PARAMETER, remark=str(exc))
        named = ", ".join(f"`{item.key}`" for item in found) or "no key was sent"
        return Reply(
            ResponseCode.NO_PERMISSION,
            remark=f"the name server's configuration cannot be changed over the wire ({named}): edit its file",
        )
