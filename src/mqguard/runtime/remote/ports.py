"""The port to a store of users and policies in the network."""

from typing import Protocol

from mqguard.auth.ports import RecordingStore


class RemoteStore(RecordingStore, Protocol):
    """A metadata store whose calls may take seconds. It is thread-safe.

    It reports the writes of other servers in a thread of its own. A reported update without changes demands that all
    users and policies are loaded again, whatever its revision is.
    """

    def confirm(self) -> int:
        """Return the revision that the store has at this moment; a value from a cache is not enough.

        Raises:
            MetadataStoreFailed: The store does not answer.
        """
        ...  # pragma: no cover

    def restart_watch(self) -> None:
        """Begin again to watch the writes of other servers, because an update is missing."""
        ...  # pragma: no cover
