"""Table of named configurations: kept in memory, stored by the next commit, with a version."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from mqguard.engine.errors import LimitReached
from mqguard.engine.group_commit import GroupCommit
from mqguard.model.process import Clock
from mqguard.model.topic import DataVersion
from mqguard.store.ports import MessageStore, Table

_ENCODER = msgspec.json.Encoder()


class NamedConfig(Protocol):
    """Configuration with a name."""

    @property
    def name(self) -> str:
        """Key in the table."""
        ...

    @property
    def creator(self) -> str | None:
        """User for which it counts, None if it counts for no user."""
        ...


class ConfigLimits(NamedTuple):
    """Maximum numbers of configurations that clients may create.

    Attributes:
        total: Maximum number of all configurations.
        per_user: Maximum number of the configurations that one user created.
        kind: Name of the configurations, in the plural, for errors.
        total_key: Key of `broker.conf` that sets `total`.
        per_user_key: Key of `broker.conf` that sets `per_user`.
    """

    total: int
    per_user: int
    kind: str
    total_key: str
    per_user_key: str


C = TypeVar("C", bound=NamedConfig)


class ConfigTable(Generic[C]):
    """Named configurations of one class.

    Args:
        store: Store of the configurations.
        group_commit: Commit that includes the changes.
        clock: Clock for the times of changes.
        table: Table of the store.
        kind: Class of the configurations, a msgspec Struct.
        built_in: Configurations that exist without having been stored.
        limits: Maximum numbers of the others.
    """

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        clock: Clock,
        table: Table,
        kind: type[C],
        built_in: Iterable[C],
        limits: ConfigLimits,
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._clock = clock
        self._table = table
        self._version_key = b"version-" + table.value
        self._listeners: list[Callable[[str], None]] = []
        self._at_removal: list[Callable[[str], None]] = []
        self._by_name: dict[str, C] = {config.name: config for config in built_in}
        self._sorted: list[C] | None = None
        self._uncounted = frozenset(self._by_name)
        self._limits = limits
        self._count = 0
        self._count_by_creator: Counter[str] = Counter()
        decode = msgspec.json.Decoder(kind).decode
        for key, value in store.values(table):
            self._replace(key.decode(), decode(value))

        version = store.value(Table.COUNTERS, self._version_key)
        self.data_version = msgspec.json.decode(version, type=DataVersion) if version else DataVersion()

    def get(self, name: str) -> C | None:
        """Return the configuration of a name, None if there is none."""
        return self._by_name.get(name)

    def all(self) -> list[C]:
        """Return all configurations, in order of their names."""
        if self._sorted is None:
            self._sorted = sorted(self._by_name.values(), key=lambda config: config.name)
        return self._sorted.copy()

    def __len__(self) -> int:
        return len(self._by_name)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call back with the name after each stored change, before its reply leaves."""
        self._listeners.append(callback)

    def on_removal(self, callback: Callable[[str], None]) -> None:
        """Call back with the name when a removal is staged, so that the same commit can remove what depends on it."""
        self._at_removal.append(callback)

    def _counts(self, name: str) -> bool:
        """Return True if a configuration counts for the limits."""
        return name not in self._uncounted

    def _require_room(self, name: str, creator: str | None) -> None:
        """Raise an error if a limit does not allow one more configuration.

        Raises:
            LimitReached: A maximum number is reached.
        """
        if not self._counts(name):
            return
        limits = self._limits
        if self._count >= limits.total:
            raise LimitReached(
                f"`{name}` cannot be created: there are {self._count} {limits.kind}, and at most {limits.total} are "
                f"allowed (`{limits.total_key}`)"
            )
        if creator is not None and self._count_by_creator[creator] >= limits.per_user:
            raise LimitReached(
                f"`{name}` cannot be created: User:{creator} has created {self._count_by_creator[creator]} "
                f"{limits.kind}, and at most {limits.per_user} are allowed for a user (`{limits.per_user_key}`)"
            )

    def _replace(self, name: str, config: C | None) -> None:
        """Set or remove a configuration, and update the counts."""
        old = self._by_name.get(name)
        self._sorted = None
        if self._counts(name):
            self._count += (config is not None) - (old is not None)
            if old is not None and old.creator is not None:
                self._count_by_creator[old.creator] -= 1
                if not self._count_by_creator[old.creator]:
                    del self._count_by_creator[old.creator]
            if config is not None and config.creator is not None:
                self._count_by_creator[config.creator] += 1
        if config is None:
            self._by_name.pop(name, None)
        else:
            self._by_name[name] = config

    def _put(self, config: C, *, limited: bool = True) -> None:
        name = config.name
        if limited and name not in self._by_name:
            self._require_room(name, config.creator)
        self._undo_if_failed(name)
        self._replace(name, config)
        self._store.stage_value(self._table, name.encode(), _ENCODER.encode(config))
        self._changed(name)

    def _remove(self, name: str) -> None:
        self._undo_if_failed(name)
        self._replace(name, None)
        self._store.stage_removal(self._table, name.encode())
        for callback in self._at_removal:
            callback(name)
        self._changed(name)

    def _undo_if_failed(self, name: str) -> None:
        before, version = self._by_name.get(name), self.data_version

        def undo() -> None:
            self.data_version = version
            self._replace(name, before)

        self._group_commit.undo(undo)

    def _changed(self, name: str) -> None:
        self.data_version = self.data_version.next(self._clock.now_ms())
        self._store.stage_value(Table.COUNTERS, self._version_key, _ENCODER.encode(self.data_version))

        self._group_commit.after(lambda: self._notify(name))

    def _notify(self, name: str) -> None:
        for callback in self._listeners:
            callback(name)
