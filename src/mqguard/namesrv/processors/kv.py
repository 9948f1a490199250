"""Key-value configuration (100, 101, 102, 219)."""

from mqguard.dispatch.request import Handler, Request
from mqguard.namesrv.kv import KvTable
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.tables import KvBody
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.route import KeyAnswer, KeyHeader, KeysHeader, PutKeyHeader


class KeyValues:
    """Reads and writes the key-value table."""

    def __init__(self, table: KvTable) -> None:
        self._table = table

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {
            RequestCode.PUT_KV_CONFIG: self.put,
            RequestCode.GET_KV_CONFIG: self.get,
            RequestCode.DELETE_KV_CONFIG: self.delete,
            RequestCode.GET_KVLIST_BY_NAMESPACE: self.all,
        }

    def put(self, request: Request) -> Reply:
        """Set a value (100)."""
        header = read(request.command.ext, PutKeyHeader)
        if not header.namespace or not header.key:
            return Reply(ResponseCode.SYSTEM_ERROR, remark="namespace or key is null")
        self._table.put(header.namespace, header.key, header.value)
        return Reply()

    def get(self, request: Request) -> Reply:
        """A value (101)."""
        header = read(request.command.ext, KeyHeader)
        value = self._table.get(header.namespace, header.key)
        if value is None:
            remark = f"No config item, Namespace: {header.namespace} Key: {header.key}"
            return Reply(ResponseCode.QUERY_NOT_FOUND, remark=remark)
        return Reply(ext=write(KeyAnswer(value=value)))

    def delete(self, request: Request) -> Reply:
        """Remove a value (102)."""
        header = read(request.command.ext, KeyHeader)
        self._table.delete(header.namespace, header.key)
        return Reply()

    def all(self, request: Request) -> Reply:
        """All values of a namespace (219)."""
        header = read(request.command.ext, KeysHeader)
        values = self._table.all(header.namespace)
        if not values:
            return Reply(ResponseCode.QUERY_NOT_FOUND, remark=f"No config item, Namespace: {header.namespace}")
        return Reply(body=encode(KvBody(table=values)))
