"""The version of a table (topics, groups), by which name servers and peers see that it has changed."""

import msgspec


class DataVersion(msgspec.Struct, frozen=True):
    """Grows with each change.

    Attributes:
        counter: Changes so far.
        timestamp: When the last one was made, milliseconds since the epoch.
        state_version: Term of the controller; always 0 without one.
    """

    counter: int = 0
    timestamp: int = 0
    state_version: int = 0

    def next(self, now_ms: int) -> "DataVersion":
        """The version after one more change."""
        return DataVersion(self.counter + 1, now_ms, self.state_version)
