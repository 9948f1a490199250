"""What can go wrong with a store."""

from mqguard.errors import MqguardError


class StoreError(MqguardError):
    """A store can not do what it was asked for."""


class StoreBusy(StoreError):
    """Another process, or another store of this process, holds the directory."""


class StoreCorrupt(StoreError):
    """The data on disk are damaged or of a form that this version does not know."""


class StoreFailed(StoreError):
    """A write or read failed: disk full, an I/O error. Nothing of the failed turn is visible; see `recover`."""


class StoreDamaged(StoreFailed):
    """What was read is not what was written; the rest of the store can still be used."""


class StoreClosed(StoreError):
    """The store has been closed."""
