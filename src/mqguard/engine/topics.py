"""Topics of the broker, and the creation of missing ones."""

import msgspec

from mqguard.engine.config_table import ConfigLimits, ConfigTable
from mqguard.engine.errors import ConfigIllegal, NoSuchTopic, NotReadable, NotWritable
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.offsets import Offsets
from mqguard.engine.settings import EngineSettings
from mqguard.model import names
from mqguard.model.process import Clock
from mqguard.model.topic import MAX_QUEUES, PERM_BOTH, PERM_INHERIT, PERM_READ, TopicConfig, perm_fault
from mqguard.store.ports import MessageStore, Table
from mqguard.store.queues import Queue

ONE_QUEUE_TOPICS = (
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
)
SCHEDULE_QUEUES = 18
_BENCHMARK_QUEUES = 16


def built_in_topics(settings: EngineSettings) -> list[TopicConfig]:
    """Return the topics that always exist (Apache: `TopicConfigManager`)."""
    template = PERM_BOTH | (PERM_INHERIT if settings.auto_create_topic else 0)
    return [
        *(TopicConfig(name, 1, 1) for name in (*ONE_QUEUE_TOPICS, *sorted(settings.trace_topics))),
        TopicConfig(names.TEMPLATE_TOPIC, settings.default_queues, settings.default_queues, template),
        TopicConfig("BenchmarkTest", _BENCHMARK_QUEUES, _BENCHMARK_QUEUES),
        TopicConfig(names.SCHEDULE_TOPIC, SCHEDULE_QUEUES, SCHEDULE_QUEUES),
        TopicConfig(names.TIMER_TOPIC, 1, 1),
        TopicConfig(settings.cluster, 16, 16),
        TopicConfig(settings.broker, 1, 1),
        TopicConfig(f"{settings.cluster}_REPLY_TOPIC", 1, 1),
    ]


class Topics(ConfigTable[TopicConfig]):
    """Topics of this broker; see `ConfigTable` for `get`, `all`, `data_version`, `on_change`."""

    def __init__(
        self, store: MessageStore, group_commit: GroupCommit, clock: Clock, settings: EngineSettings, offsets: Offsets
    ) -> None:
        built_in = built_in_topics(settings)
        limits = ConfigLimits(
            settings.max_topics, settings.max_topics_per_user, "topics", "maxTopics", "maxTopicsPerUser"
        )
        super().__init__(store, group_commit, clock, Table.TOPICS, TopicConfig, built_in, limits)
        self._offsets = offsets
        self._built_in = frozenset(topic.name for topic in built_in)
        self._auto_create = settings.auto_create_topic
        self._address = settings.address
        self._are_readable = bool(settings.permission & PERM_READ)
        self._trace_topics = settings.trace_topics

    def configure(self, settings: EngineSettings) -> None:
        """Put changed limits into force, the automatic creation of topics, and the permission to read them."""
        self._are_readable = bool(settings.permission & PERM_READ)
        self._limits = self._limits._replace(total=settings.max_topics, per_user=settings.max_topics_per_user)
        if settings.auto_create_topic == self._auto_create:
            return
        self._auto_create = settings.auto_create_topic
        template = self._by_name[names.TEMPLATE_TOPIC]
        perm = template.perm | PERM_INHERIT if self._auto_create else template.perm & ~PERM_INHERIT
        self._replace(template.name, msgspec.structs.replace(template, perm=perm))
        self._notify(template.name)

    def require(self, name: str) -> TopicConfig:
        """Return the configuration of a topic.

        Raises:
            NoSuchTopic: The topic does not exist.
        """
        found = self._by_name.get(name)
        if found is None:
            raise NoSuchTopic(f"topic[{name}] not exist, apply first please!")
        return found

    def readable(self, name: str) -> TopicConfig:
        """Return the configuration of a topic that clients may read.

        Raises:
            NoSuchTopic: The topic does not exist.
            NotReadable: The topic or the broker has no read permission.
        """
        found = self.require(name)
        if not self._are_readable:
            raise NotReadable(f"the broker[{self._address}] pulling message is forbidden")
        if not found.readable:
            raise NotReadable(f"the topic[{name}] pulling message is forbidden")
        return found

    def writable(self, name: str) -> TopicConfig:
        """Return the configuration of a topic that clients may write to.

        Raises:
            NoSuchTopic: The topic does not exist.
            NotWritable: The topic has no write permission, or it is one of the broker's own topics.
        """
        if name in names.UNWRITABLE_TOPICS or (name.startswith("rmq_sys_") and name not in self._trace_topics):
            raise NotWritable(f"Sending message to topic[{name}] is forbidden.")
        found = self.require(name)
        if not found.writable:
            raise NotWritable(f"the topic[{name}] sending message is forbidden")
        return found

    def is_system(self, name: str) -> bool:
        """Return True if the broker itself needs the topic, so that it cannot be deleted."""
        return name in self._built_in or name in names.SYSTEM_TOPICS or name.startswith("rmq_sys_")

    def put(self, config: TopicConfig, creator: str | None = None, *, limited: bool = True) -> None:
        """Create a topic or replace its configuration.

        Args:
            config: The topic. An existing one keeps its creator.
            creator: User for which a new topic counts, None if it counts for no user.
            limited: False if the topic is created whatever the limits are.

        Raises:
            ConfigIllegal: Its name, queues or permission are illegal, or it is a system topic.
            LimitReached: It is new, and the maximum number of topics is reached.
        """
        if self.is_system(config.name):
            raise ConfigIllegal(f"The topic[{config.name}] is conflict with system topic.")
        fault = names.topic_fault(config.name) or perm_fault(config.perm) or _queues_fault(config)
        if fault:
            raise ConfigIllegal(fault)
        old = self._by_name.get(config.name)
        creator = creator if old is None else old.creator
        if creator != config.creator:
            config = msgspec.structs.replace(config, creator=creator)
        if old != config:
            self._put(config, limited=limited)

    def delete(self, name: str) -> bool:
        """Remove a topic with its messages, offsets and retry topics of pop; return False if it does not exist.

        Raises:
            ConfigIllegal: It is a system topic.
        """
        if self.is_system(name):
            raise ConfigIllegal(f"The topic[{name}] is conflict with system topic.")
        if name not in self._by_name:
            return False

        # All of them at once: a topic may have a retry topic for each of many groups.
        self._delete([name, *sorted(other for other in self._by_name if _popped_topic(other) == name)])
        return True

    def delete_pop_retries(self, group: str) -> None:
        """Remove the retry topics that a group has for popped topics, with their messages and offsets."""
        prefix = names.pop_retry_topic(group, "")
        self._delete(sorted(name for name in self._by_name if name.startswith(prefix)))

    def _delete(self, topics: list[str]) -> None:
        if not topics:
            return
        for name in topics:
            self._remove(name)
        deleted = set(topics)
        for queue in self._queues_of(deleted):
            self._store.stage_drop(queue)
        self._offsets.remove_topics(deleted)

    def _queues_of(self, topics: set[str]) -> list[Queue]:
        """Return all queues of topics, also those that they had before."""
        if len(topics) > 1:
            return [queue for queue in self._store.queues() if queue.topic in topics]
        found = (self._store.queue(name, queue_id) for name in topics for queue_id in range(MAX_QUEUES))
        return [queue for queue in found if queue is not None]

    def create_for_send(self, name: str, template: str, queues: int, creator: str | None = None) -> TopicConfig:
        """Create a missing topic from a template, for a send to it.

        Args:
            name: The missing topic.
            template: Topic whose permissions and queues the new one inherits, normally `TBW102`.
            queues: Number of queues that the client wants; the maximum is that of the template.
            creator: User for which the topic counts, None if it counts for no user.

        Raises:
            NoSuchTopic: Sending does not create topics, or the template does not allow it.
            ConfigIllegal: The name is illegal.
            LimitReached: The maximum number of topics is reached.
        """
        source = self._by_name.get(template)
        if not self._auto_create or source is None or not source.perm & PERM_INHERIT:
            raise NoSuchTopic(f"topic[{name}] not exist, apply first please!")
        count = max(1, min(queues, source.write_queues))
        self.put(TopicConfig(name, count, count, source.perm & ~PERM_INHERIT), creator)
        return self.require(name)

    def _counts(self, name: str) -> bool:
        # A retry or dead-letter topic exists because of its group, and groups are counted. But a group can have a retry
        # topic of pop for each topic.
        is_owned = names.owner_of(name) is not None and names.pop_retry_parts(name) is None
        return super()._counts(name) and not is_owned

    def ensure(self, name: str, queues: int = 1) -> TopicConfig:
        """Return the configuration of a retry or dead-letter topic; a missing one is created, whatever the limits."""
        found = self._by_name.get(name)
        if found is None:
            self.put(TopicConfig(name, queues, queues), limited=False)
            found = self._by_name[name]
        return found

    def ensure_pop_retry(self, name: str, creator: str | None = None, *, limited: bool = False) -> None:
        """Create a retry topic of pop if it does not exist.

        Args:
            name: The retry topic.
            creator: User for which it counts, None if it counts for no user.
            limited: True if the limits of topics are checked.

        Raises:
            LimitReached: The maximum number of topics is reached.
        """
        if name not in self._by_name:
            # Clients may read the topic and not write to it: only the broker puts messages of another topic there.
            self.put(TopicConfig(name, 1, 1, PERM_READ), creator, limited=limited)


def _popped_topic(name: str) -> str | None:
    """Return the topic whose retry topic of pop has this name, None for any other topic."""
    parts = names.pop_retry_parts(name)
    return None if parts is None else parts[1]


def _queues_fault(config: TopicConfig) -> str | None:
    for what, queues in (("readQueueNums", config.read_queues), ("writeQueueNums", config.write_queues)):
        if not 0 <= queues <= MAX_QUEUES:
            return f"{what} of topic `{config.name}` is `{queues}`; it must be 0 to {MAX_QUEUES}"
    return None if config.queues else f"topic `{config.name}` needs at least one queue"
