"""A table of named configurations: in memory, staged with the turn, with a version."""

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

import msgspec

from mqguard.engine.turn import Turn
from mqguard.model.clock import Clock
from mqguard.model.version import DataVersion
from mqguard.store.ports import MessageStore, Table

_ENCODER = msgspec.json.Encoder()


class Named(Protocol):
    """A configuration with a name."""

    @property
    def name(self) -> str:
        """The key in the table."""
        ...


C = TypeVar("C", bound=Named)


class ConfigTable(Generic[C]):
    """Named configurations of one kind.

    Args:
        store: Where they are kept.
        turn: The turn that changes belong to.
        clock: Tells the time of changes.
        table: Which of the store's tables.
        kind: The class of the configurations, a msgspec Struct.
        built_in: Configurations that exist without having been stored.
    """

    def __init__(
        self, store: MessageStore, turn: Turn, clock: Clock, table: Table, kind: type[C], built_in: Iterable[C]
    ) -> None:
        self._store = store
        self._turn = turn
        self._clock = clock
        self._table = table
        self._version_key = b"version-" + table.value
        self._listeners: list[Callable[[str], None]] = []
        self._by_name: dict[str, C] = {config.name: config for config in built_in}
        decode = msgspec.json.Decoder(kind).decode
        for key, value in store.values(table):
            self._by_name[key.decode()] = decode(value)

        version = store.value(Table.COUNTERS, self._version_key)
        self.data_version = msgspec.json.decode(version, type=DataVersion) if version else DataVersion()

    def get(self, name: str) -> C | None:
        """The configuration of a name, None if there is none."""
        return self._by_name.get(name)

    def all(self) -> list[C]:
        """All configurations, in order of their names."""
        return sorted(self._by_name.values(), key=lambda config: config.name)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call back with the name after each stored change, before its acknowledgement leaves."""
        self._listeners.append(callback)

    def _put(self, config: C) -> None:
        name = config.name
        self._remember(name)
        self._by_name[name] = config
        self._store.stage_value(self._table, name.encode(), _ENCODER.encode(config))
        self._changed(name)

    def _remove(self, name: str) -> None:
        self._remember(name)
        del self._by_name[name]
        self._store.stage_removal(self._table, name.encode())
        self._changed(name)

    def _remember(self, name: str) -> None:
        before, version = self._by_name.get(name), self.data_version

        def undo() -> None:
            self.data_version = version
            if before is None:
                self._by_name.pop(name, None)
            else:
                self._by_name[name] = before

        self._turn.undo(undo)

    def _changed(self, name: str) -> None:
        self.data_version = self.data_version.next(self._clock.now_ms())
        self._store.stage_value(Table.COUNTERS, self._version_key, _ENCODER.encode(self.data_version))

        def tell() -> None:
            for callback in self._listeners:
                callback(name)

        self._turn.after(tell)
