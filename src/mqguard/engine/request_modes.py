"""Ways in which groups receive the messages of topics: by pull or by pop (Apache: `MessageRequestModeManager`)."""

import msgspec

from mqguard.engine.errors import ConfigIllegal, LimitReached
from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.groups import Groups
from mqguard.engine.topics import Topics
from mqguard.model import names
from mqguard.store.ports import MessageStore, Table

PULL, POP = "PULL", "POP"
MAX_MODES = 20_000
"""Modes of all groups, which stay in memory; one request returns all of them.

Beyond this number only users below an even share can set modes for further groups and topics.
"""


class GroupMode(msgspec.Struct, frozen=True):
    """Way in which a group receives the messages of a topic.

    Attributes:
        mode: `PULL` or `POP`.
        share_queues: Number of further members whose queues a member pops too; negative or 0 for all queues.
        owner: User or address that set it first, for whose share it counts.
    """

    mode: str = PULL
    share_queues: int = -1
    owner: str = ""


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
        self._shares = FairQuota(MAX_MODES)
        for key, value in store.values(Table.REQUEST_MODES):
            topic, _, group = key.decode().partition("\0")
            self._replace((topic, group), msgspec.json.decode(value, type=GroupMode))
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
            LimitReached: It is new, and its owner has used its share of modes.
        """
        if mode.mode not in {PULL, POP}:
            raise ConfigIllegal(f"the mode `{mode.mode[:32]}` is not valid: use PULL or POP")
        key = topic, group
        before = self._modes.get(key)
        if before is not None:
            mode = msgspec.structs.replace(mode, owner=before.owner)
        elif not self._shares.allows(mode.owner, 1):
            raise LimitReached(
                f"the mode of group `{group}` in topic `{topic}` cannot be set: there are {len(self._shares)} message "
                f"request modes, {self._shares.count(mode.owner)} of them yours, and at most {MAX_MODES} are kept: "
                "delete groups that are not used"
            )
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
        old = self._modes.pop(key, None)
        if old is not None:
            self._shares.change(old.owner, -1)
        if mode is not None:
            self._shares.change(mode.owner, 1)
            self._modes[key] = mode


def _key(key: tuple[str, str]) -> bytes:
    return "\0".join(key).encode()
