"""Bodies of mqguard's own requests to operate a broker."""

from mqguard.remoting.bodies.codec import Body


class SnapshotInfo(Body):
    """A snapshot of a broker's data.

    Attributes:
        snapshot_id: Its id.
        directory: Its directory on the broker's machine, an absolute path.
        version: The version of mqguard that took it.
        taken_at_ms: The time of the snapshot, in milliseconds since the epoch.
        sealed_with: Id of the key that seals the secrets in it; empty if it has no users.
    """

    snapshot_id: str = ""
    directory: str = ""
    version: str = ""
    taken_at_ms: int = 0
    sealed_with: str = ""
