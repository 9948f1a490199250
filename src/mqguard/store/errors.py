"""Errors of stores."""

from mqguard.errors import MqguardError


class StoreError(MqguardError):
    """An operation that a store cannot do."""


class StoreBusy(StoreError):
    """A directory that another process, or another store of this process, uses."""


class StoreCorrupt(StoreError):
    """Data on disk that are damaged or have an unknown format."""


class StoreFailed(StoreError):
    """A failed write or read: a full disk, an I/O error. Nothing of a failed commit is visible; see `recover`."""


class StoreDamaged(StoreFailed):
    """A part of the data that is damaged; the rest of the store can still be used."""


class StoreClosed(StoreError):
    """An operation on a closed store."""
