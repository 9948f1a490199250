"""Key-value configuration by namespace (100, 101, 102, 219); `mqadmin` keeps the order of ordered topics in it."""

from typing import Protocol

from mqguard.dispatch.request import Handler, Request
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.topics import KvBody
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.route import KeyAnswer, KeyHeader, KeysHeader, PutKeyHeader

ORDER_NAMESPACE = "ORDER_TOPIC_CONFIG"
"""Namespace with the brokers and queue numbers of ordered topics, such as `broker-a:4;broker-b:4`."""


class KvStore(Protocol):
    """Persistent store of the values."""

    def load(self) -> dict[str, dict[str, str]]:
        """Return all values, by namespace and key.

        Raises:
            StoreError: The values cannot be read.
        """
        ...  # pragma: no cover

    def save(self, values: dict[str, dict[str, str]]) -> None:
        """Replace all values.

        Raises:
            StoreError: The values cannot be written; the old ones stay.
        """
        ...  # pragma: no cover


class KvTable:
    """Table of the values in memory; with a store, changes are persistent."""

    def __init__(self, store: KvStore | None = None) -> None:
        self._store = store
        self._values: dict[str, dict[str, str]] = store.load() if store else {}

    def get(self, namespace: str, key: str) -> str | None:
        """Return a value, None if there is none."""
        return self._values.get(namespace, {}).get(key)

    def all(self, namespace: str) -> dict[str, str]:
        """Return the values of a namespace by key; empty if there are none."""
        return dict(self._values.get(namespace, {}))

    def put(self, namespace: str, key: str, value: str) -> None:
        """Set a value.

        Raises:
            StoreError: The change cannot be written; nothing has changed.
        """
        self._change({**self._values, namespace: {**self._values.get(namespace, {}), key: value}})

    def delete(self, namespace: str, key: str) -> None:
        """Remove a value, if there is one.

        Raises:
            StoreError: The change cannot be written; nothing has changed.
        """
        if key not in self._values.get(namespace, {}):
            return
        left = {name: value for name, value in self._values[namespace].items() if name != key}
        values = {name: table for name, table in self._values.items() if name != namespace}
        self._change({**values, namespace: left} if left else values)

    def _change(self, values: dict[str, dict[str, str]]) -> None:
        if self._store:
            self._store.save(values)
        self._values = values


class KvProcessor:
    """Handlers that read and change the key-value table."""

    def __init__(self, table: KvTable) -> None:
        self._table = table

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
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
        """Return a value (101)."""
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
        """Return all values of a namespace (219)."""
        header = read(request.command.ext, KeysHeader)
        values = self._table.all(header.namespace)
        if not values:
            return Reply(ResponseCode.QUERY_NOT_FOUND, remark=f"No config item, Namespace: {header.namespace}")
        return Reply(body=encode(KvBody(table=values)))
