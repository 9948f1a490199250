"""Consumer groups of the broker, and the creation of missing ones."""

import msgspec

from mqguard.engine.config_table import ConfigLimits, ConfigTable
from mqguard.engine.errors import ConfigIllegal, NoSuchGroup
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.offsets import Offsets
from mqguard.engine.settings import EngineSettings
from mqguard.engine.topics import Topics
from mqguard.model import names
from mqguard.model.process import Clock
from mqguard.model.topic import SubscriptionGroupConfig, group_config_fault
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
"""Groups that always exist, because Apache's tools consume with them."""


class Groups(ConfigTable[SubscriptionGroupConfig]):
    """Consumer groups of this broker; see `ConfigTable` for `get`, `all`, `data_version`, `on_change`."""

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        clock: Clock,
        settings: EngineSettings,
        topics: Topics,
        offsets: Offsets,
    ) -> None:
        built_in = [SubscriptionGroupConfig(name) for name in TOOLS_GROUPS]
        limits = ConfigLimits(
            settings.max_groups,
            settings.max_groups_per_user,
            "consumer groups",
            "maxSubscriptionGroups",
            "maxSubscriptionGroupsPerUser",
        )
        super().__init__(store, group_commit, clock, Table.GROUPS, SubscriptionGroupConfig, built_in, limits)
        self._topics = topics
        self._offsets = offsets
        self._auto_create = settings.auto_create_group

    def configure(self, settings: EngineSettings) -> None:
        """Put changed limits into force, and the automatic creation of groups."""
        self._limits = self._limits._replace(total=settings.max_groups, per_user=settings.max_groups_per_user)
        self._auto_create = settings.auto_create_group

    def find(self, name: str, creator: str | None = None) -> SubscriptionGroupConfig:
        """Return the configuration of a group; a missing one is created with the defaults if that is allowed.

        Args:
            name: The group.
            creator: User for which a new group counts, None if it counts for no user.

        Raises:
            NoSuchGroup: It does not exist, and consuming does not create groups.
            ConfigIllegal: It does not exist, and its name is illegal.
            LimitReached: It does not exist, and the maximum number of groups is reached.
        """
        found = self._by_name.get(name)
        if found is None:
            self.put(self.preview(name), creator)
            found = self._by_name[name]
        return found

    def preview(self, name: str) -> SubscriptionGroupConfig:
        """Return the configuration of a group that consuming would use; a missing one is not created.

        Raises:
            NoSuchGroup: It does not exist, and consuming does not create groups.
        """
        found = self._by_name.get(name)
        if found is None:
            if not self._auto_create:
                raise NoSuchGroup(f"subscription group [{name}] does not exist")
            found = SubscriptionGroupConfig(name)
        return found

    def put(self, config: SubscriptionGroupConfig, creator: str | None = None) -> None:
        """Create a group or replace its configuration.

        Args:
            config: The group. An existing one keeps its creator.
            creator: User for which a new group counts, None if it counts for no user.

        Raises:
            ConfigIllegal: Its name or numbers are illegal.
            LimitReached: It is new, and the maximum number of groups is reached.
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
        """Remove a group with its retry topics of pop; return False if the group does not exist.

        Args:
            name: The group.
            clean_offsets: True if its offsets are removed too.
        """
        if clean_offsets:
            self._offsets.remove_group(name)
        exists = name in self._by_name
        if exists:
            self._remove(name)
        # Also those that are left of a group that was deleted by an earlier version.
        self._topics.delete_pop_retries(name)
        return exists

    def with_retry_topic(self, name: str, creator: str | None = None) -> SubscriptionGroupConfig:
        """Do as `find`, and create the retry topic, because consumers need its route as soon as they start."""
        found = self.find(name, creator)
        if found.retry_queues:
            self._topics.ensure(names.retry_topic(name), found.retry_queues)
        return found
