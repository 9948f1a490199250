"""A store of users and policies whose writes are reported, so that other processes can follow them."""

from collections.abc import Sequence

from mqguard.auth.ports import Change, ChangeRecord, Metadata, MetadataUpdate, OnUpdate, RecordingStore


class PublishedStore:
    """A store of users and policies that reports its own writes too (`RecordingStore`).

    Args:
        store: The store.

    Attributes:
        on_stored: Called with each update of the store.
    """

    def __init__(self, store: RecordingStore) -> None:
        self.inner = store
        self.on_stored: OnUpdate = lambda _update: None

    def load(self) -> Metadata:
        """See `MetadataStore`."""
        return self.inner.load()

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """See `MetadataStore`."""
        return self._report(self.inner.apply(changes, expected_revision), expected_revision, changes)

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """See `RecordingStore`."""
        return self._report(self.inner.apply_recorded(changes, expected_revision, record), expected_revision, changes)

    def watch(self, on_update: OnUpdate) -> None:
        """See `MetadataStore`. Updates of other servers are reported to members as well, after this server has them."""

        def report(update: MetadataUpdate) -> None:
            on_update(update)
            self.on_stored(MetadataUpdate(update.revision, update.previous, None))

        self.inner.watch(report)

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """See `RecordingStore`."""
        return self.inner.unwritten_records()

    def records_written(self, ids: Sequence[str]) -> None:
        """See `RecordingStore`."""
        self.inner.records_written(ids)

    def close(self) -> None:
        """See `MetadataStore`."""
        self.inner.close()

    def _report(self, revision: int, previous: int, changes: Sequence[Change]) -> int:
        if changes:
            self.on_stored(MetadataUpdate(revision, previous, changes))
        return revision
