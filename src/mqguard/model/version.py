"""The version of a table (topics, groups), which shows name servers and peers that it has changed."""

import msgspec


class DataVersion(msgspec.Struct, frozen=True):
    """A version that grows with each change.

    Attributes:
        counter: Number of changes.
        timestamp: Time of the last one, milliseconds since the epoch.
        state_version: Term of the controller; always 0 without one.
    """

    counter: int = 0
    timestamp: int = 0
    state_version: int = 0

    def next(self, now_ms: int) -> "DataVersion":
        """Return the version after another change."""
        return DataVersion(self.counter + 1, now_ms, self.state_version)
