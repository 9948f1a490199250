"""Key-value configuration by namespace, which `mqadmin` keeps the order of ordered topics in."""

from typing import Protocol

ORDER_NAMESPACE = "ORDER_TOPIC_CONFIG"
"""Namespace whose values say on how many queues of which broker an ordered topic lies: `broker-a:4;broker-b:4`."""


class KvStore(Protocol):
    """Where the values outlive the process."""

    def load(self) -> dict[str, dict[str, str]]:
        """All values, by namespace and key.

        Raises:
            StoreError: They cannot be read.
        """
        ...  # pragma: no cover

    def save(self, values: dict[str, dict[str, str]]) -> None:
        """Replace all values.

        Raises:
            StoreError: They cannot be written; the old ones stay.
        """
        ...  # pragma: no cover


class KvTable:
    """The values, in memory and, with a store, for good."""

    def __init__(self, store: KvStore | None = None) -> None:
        self._store = store
        self._values: dict[str, dict[str, str]] = store.load() if store else {}

    def get(self, namespace: str, key: str) -> str | None:
        """A value, None if there is none."""
        return self._values.get(namespace, {}).get(key)

    def all(self, namespace: str) -> dict[str, str]:
        """The values of a namespace by key; empty if there are none."""
        return dict(self._values.get(namespace, {}))

    def put(self, namespace: str, key: str, value: str) -> None:
        """Set a value.

        Raises:
            StoreError: It cannot be written; nothing has changed.
        """
        self._change({**self._values, namespace: {**self._values.get(namespace, {}), key: value}})

    def delete(self, namespace: str, key: str) -> None:
        """Remove a value; no error if there is none.

        Raises:
            StoreError: It cannot be written; nothing has changed.
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
