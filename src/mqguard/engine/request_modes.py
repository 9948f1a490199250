"""Ways in which groups receive the messages of topics: by pull or by pop (Apache: `MessageRequestModeManager`)."""

import msgspec

from mqguard.engine.errors import ConfigIllegal, LimitReached
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.groups import Groups
from mqguard.engine.topics import Topics
from mqguard.model import names
from mqguard.store.ports import MessageStore, Table

PULL, POP = "PULL", "POP"
MAX_MODES = 20_000
"""Maximum modes of all groups. They stay in memory, and one request returns all of them."""


class GroupMode(msgspec.Struct, frozen=True):
    """Way in which a group receives the messages of a topic.

    Attributes:
        mode: `PULL` or `POP`.
        share_queues: Number of further members whose queues a member pops too; negative or 0 for all queues.
    """

    mode: str = PULL
    share_queues: int = -1


class RequestModes:
    """All modes that were set, by topic and group. They end with their topic or group.

    Args:
        store: Store of the modes.
        group_commit: Commit that includes the changes.
        topics: Topics.
        groups: Groups.
    """

    def __init__(self, store: MessageStore, group_commit: GroupCommit, topics: Topics, groups: Groups) -> None:
        self._store = store
        self._group_commit = group_commit
        self._modes: dict[tuple[str, str], GroupMode] = {}
        for key, value in store.values(Table.REQUEST_MODES):
            topic, _, group = key.decode().partition("\0")
            self._modes[topic, group] = msgspec.json.decode(value, type=GroupMode)
        topics.on_removal(self._topic_removed)
        groups.on_removal(lambda name: self._remove([key for key in self._modes if key[1] == name]))

    def get(self, topic: str, group: str) -> GroupMode | None:
        """Return the mode of a group in a topic, None if none was set."""
        return self._modes.get((topic, group))

    def all(self) -> dict[tuple[str, str], GroupMode]:
        """Return all modes by topic and group."""
        return dict(self._modes)

    def set(self, topic: str, group: str, mode: GroupMode) -> None:
        """Set the mode of a group in a topic, both of which exist.

        Raises:
            ConfigIllegal: The mode is neither `PULL` nor `POP`.
            LimitReached: It is new, and the maximum number of modes is reached.
        """
        if mode.mode not in {PULL, POP}:
            raise ConfigIllegal(f"the mode `{mode.mode[:32]}` is not valid: use PULL or POP")
        key = topic, group
        if key not in self._modes and len(self._modes) >= MAX_MODES:
            raise LimitReached(f"at most {MAX_MODES} message request modes are kept: delete groups that are not used")
        self._change(key, mode)
        self._store.stage_value(Table.REQUEST_MODES, _key(key), msgspec.json.encode(mode))

    def _topic_removed(self, name: str) -> None:
        # Retry topics have no modes, and a topic may have many of them.
        if not name.startswith(names.RETRY_PREFIX):
            self._remove([key for key in self._modes if key[0] == name])

    def _remove(self, keys: list[tuple[str, str]]) -> None:
        for key in keys:
            self._change(key, None)
            self._store.stage_removal(Table.REQUEST_MODES, _key(key))

    def _change(self, key: tuple[str, str], mode: GroupMode | None) -> None:
        before = self._modes.get(key)
        self._group_commit.undo(lambda: self._replace(key, before))
        self._replace(key, mode)

    def _replace(self, key: tuple[str, str], mode: GroupMode | None) -> None:
        if mode is None:
            self._modes.pop(key, None)
        else:
            self._modes[key] = mode


def _key(key: tuple[str, str]) -> bytes:
    return "\0".join(key).encode()
