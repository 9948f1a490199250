"""Bodies that are plain tables and lists (28, 45, 43, 206, 219, 300, 304, 343)."""

import msgspec

from mqguard.model.topic import DataVersion
from mqguard.remoting.bodies.codec import Body


class KvBody(Body):
    """Answer of 28 and 219: texts by name."""

    table: dict[str, str]


class TopicList(Body):
    """Answer of 206, 224, 304, 305 and 343: names of topics."""

    topic_list: list[str]
    broker_addr: str | None = None


class GroupList(Body):
    """Answer of 300: names of groups."""

    group_list: list[str]


class DataVersionBody(Body):
    """The version of a table, inside other bodies and alone in 103 and 322."""

    counter: int = 0
    state_version: int = 0
    timestamp: int = 0

    @classmethod
    def of(cls, version: DataVersion) -> "DataVersionBody":
        """Return the body of a version."""
        return cls(version.counter, version.state_version, version.timestamp)

    def value(self) -> DataVersion:
        """Return the version as a value."""
        return DataVersion(self.counter, self.timestamp, self.state_version)


class StoredOffsets(Body):
    """Answer of 43: offsets by `topic@group` and queue."""

    offset_table: dict[str, dict[int, int]]
    data_version: DataVersionBody = msgspec.field(default_factory=DataVersionBody)
