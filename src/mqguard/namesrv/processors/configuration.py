"""Configuration over the wire (318, 319): told, never changed."""

from collections.abc import Mapping

from mqguard.config import properties
from mqguard.config.errors import ConfigInvalid
from mqguard.dispatch.request import Handler, Request
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply


class Configured:
    """Tells the configuration.

    Args:
        values: Keys and values without secrets.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {
            RequestCode.UPDATE_NAMESRV_CONFIG: self.update,
            RequestCode.GET_NAMESRV_CONFIG: self.get,
        }

    def get(self, request: Request) -> Reply:
        """All keys and values (319)."""
        del request
        return Reply(body=properties.write(sorted(self._values.items())).encode())

    def update(self, request: Request) -> Reply:
        """No: every key of a name server is about listeners, paths or security (318)."""
        try:
            found = properties.parse(properties.decode(request.command.body), "request")
        except ConfigInvalid as exc:
            return Reply(ResponseCode.INVALID_PARAMETER, remark=str(exc))
        named = ", ".join(f"`{item.key}`" for item in found) or "nothing"
        return Reply(
            ResponseCode.NO_PERMISSION,
            remark=f"the configuration of the name server cannot be changed over the wire ({named}): edit its file",
        )
