"""Consumer groups: which there are, and how a missing one comes to be."""

import msgspec

from mqguard.engine.errors import ConfigIllegal, NoSuchGroup
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.offsets import Offsets
from mqguard.engine.settings import EngineSettings
from mqguard.engine.table import ConfigTable, Limits
from mqguard.engine.topics import Topics
from mqguard.model import names
from mqguard.model.clock import Clock
from mqguard.model.group import SubscriptionGroupConfig, group_config_fault
from mqguard.store.ports import MessageStore, Table

TOOLS_GROUPS = (
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
)
"""Groups that always exist: Apache's tools consume with them."""


class Groups(ConfigTable[SubscriptionGroupConfig]):
    """The consumer groups of this broker; see `ConfigTable` for `get`, `all`, `data_version`, `on_change`."""

    def __init__(
        self,
        store: MessageStore,
        turn: GroupCommit,
        clock: Clock,
        settings: EngineSettings,
        topics: Topics,
        offsets: Offsets,
    ) -> None:
        built_in = [SubscriptionGroupConfig(name) for name in TOOLS_GROUPS]
        limits = Limits(
            settings.max_groups,
            settings.max_groups_per_user,
            "consumer groups",
            "maxSubscriptionGroups",
            "maxSubscriptionGroupsPerUser",
        )
        super().__init__(store, turn, clock, Table.GROUPS, SubscriptionGroupConfig, built_in, limits)
        self._topics = topics
        self._offsets = offsets
        self._auto_create = settings.auto_create_group

    def find(self, name: str, creator: str | None = None) -> SubscriptionGroupConfig:
        """The configuration of a group, made with the defaults if it is missing and that is allowed.

        Args:
            name: The group.
            creator: The user that a new group counts for, None for nobody.

        Raises:
            NoSuchGroup: it is missing and groups are not made by consuming.
            ConfigIllegal: it is missing and its name is illegal.
            LimitReached: it is missing, and there are as many groups as there may be.
        """
        found = self._by_name.get(name)
        if found is None:
            self.put(self.preview(name), creator)
            found = self._by_name[name]
        return found

    def preview(self, name: str) -> SubscriptionGroupConfig:
        """Return the configuration of a group as consuming would find it; a missing one is not created.

        Raises:
            NoSuchGroup: it is missing and groups are not made by consuming.
        """
        found = self._by_name.get(name)
        if found is None:
            if not self._auto_create:
                raise NoSuchGroup(f"subscription group [{name}] does not exist")
            found = SubscriptionGroupConfig(name)
        return found

    def put(self, config: SubscriptionGroupConfig, creator: str | None = None) -> None:
        """Make a group or replace its configuration.

        Args:
            config: The group. An existing one keeps its creator.
            creator: The user that a new group counts for, None for nobody.

        Raises:
            ConfigIllegal: its name or numbers are illegal.
            LimitReached: it is new, and there are as many groups as there may be.
        """
        fault = names.group_fault(config.name) or group_config_fault(config)
        if fault:
            raise ConfigIllegal(fault)
        old = self._by_name.get(config.name)
        creator = creator if old is None else old.creator
        if creator != config.creator:
            config = msgspec.structs.replace(config, creator=creator)
        if old != config:
            self._put(config)

    def delete(self, name: str, *, clean_offsets: bool = False) -> bool:
        """Remove a group, with `clean_offsets` its offsets too; says whether it was there."""
        if clean_offsets:
            self._offsets.remove_group(name)
        if name not in self._by_name:
            return False
        self._remove(name)
        return True

    def with_retry_topic(self, name: str, creator: str | None = None) -> SubscriptionGroupConfig:
        """`find`, and its retry topic is there afterwards: consumers ask for its route as soon as they start."""
        found = self.find(name, creator)
        if found.retry_queues:
            self._topics.ensure(names.retry_topic(name), found.retry_queues)
        return found
