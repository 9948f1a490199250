"""Headers of mqguard's own requests to operate a broker."""

from mqguard.remoting.headers.codec import Header


class SnapshotHeader(Header):
    """The end of a snapshot.

    Attributes:
        snapshot_id: The id in the response to the request that took it.
    """

    snapshot_id: str | None = None
