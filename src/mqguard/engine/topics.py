"""Topics: which there are, and how a missing one comes to be."""

import msgspec

from mqguard.engine.errors import ConfigIllegal, NoSuchTopic, NotReadable, NotWritable
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.offsets import Offsets
from mqguard.engine.settings import EngineSettings
from mqguard.engine.table import ConfigTable, Limits
from mqguard.model import names
from mqguard.model.clock import Clock
from mqguard.model.topic import MAX_QUEUES, PERM_BOTH, PERM_INHERIT, TopicConfig, perm_fault
from mqguard.store.ports import MessageStore, Table

ONE_QUEUE_TOPICS = (
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    names.TRACE_TOPIC,
)
SCHEDULE_QUEUES = 18
_BENCHMARK_QUEUES = 16


def built_in_topics(settings: EngineSettings) -> list[TopicConfig]:
    """The topics that always exist (Apache: `TopicConfigManager`)."""
    template = PERM_BOTH | (PERM_INHERIT if settings.auto_create_topic else 0)
    return [
        *(TopicConfig(name, 1, 1) for name in ONE_QUEUE_TOPICS),
        TopicConfig(names.TEMPLATE_TOPIC, settings.default_queues, settings.default_queues, template),
        TopicConfig("BenchmarkTest", _BENCHMARK_QUEUES, _BENCHMARK_QUEUES),
        TopicConfig(names.SCHEDULE_TOPIC, SCHEDULE_QUEUES, SCHEDULE_QUEUES),
        TopicConfig(names.TIMER_TOPIC, 1, 1),
        TopicConfig(settings.cluster, 16, 16),
        TopicConfig(settings.broker, 1, 1),
        TopicConfig(f"{settings.cluster}_REPLY_TOPIC", 1, 1),
    ]


class Topics(ConfigTable[TopicConfig]):
    """The topics of this broker; see `ConfigTable` for `get`, `all`, `data_version`, `on_change`."""

    def __init__(
        self, store: MessageStore, turn: GroupCommit, clock: Clock, settings: EngineSettings, offsets: Offsets
    ) -> None:
        built_in = built_in_topics(settings)
        limits = Limits(settings.max_topics, settings.max_topics_per_user, "topics", "maxTopics", "maxTopicsPerUser")
        super().__init__(store, turn, clock, Table.TOPICS, TopicConfig, built_in, limits)
        self._offsets = offsets
        self._built_in = frozenset(topic.name for topic in built_in)
        self._auto_create = settings.auto_create_topic

    def require(self, name: str) -> TopicConfig:
        """The configuration of a topic.

        Raises:
            NoSuchTopic: there is none.
        """
        found = self._by_name.get(name)
        if found is None:
            raise NoSuchTopic(f"topic[{name}] not exist, apply first please!")
        return found

    def readable(self, name: str) -> TopicConfig:
        """The configuration of a topic that gives messages.

        Raises:
            NoSuchTopic: there is none.
            NotReadable: its permission says so.
        """
        found = self.require(name)
        if not found.readable:
            raise NotReadable(f"the topic[{name}] pulling message is forbidden")
        return found

    def writable(self, name: str) -> TopicConfig:
        """The configuration of a topic that takes messages from clients.

        Raises:
            NoSuchTopic: there is none.
            NotWritable: its permission says so, or it is one of the broker's own topics.
        """
        if name in names.UNWRITABLE_TOPICS or name.startswith("rmq_sys_"):
            raise NotWritable(f"Sending message to topic[{name}] is forbidden.")
        found = self.require(name)
        if not found.writable:
            raise NotWritable(f"the topic[{name}] sending message is forbidden")
        return found

    def is_system(self, name: str) -> bool:
        """Whether the broker needs the topic for itself: it can not be deleted."""
        return name in self._built_in or name in names.SYSTEM_TOPICS or name.startswith("rmq_sys_")

    def put(self, config: TopicConfig, creator: str | None = None) -> None:
        """Make a topic or replace its configuration.

        Args:
            config: The topic. An existing one keeps its creator.
            creator: The user that a new topic counts for, None for nobody.

        Raises:
            ConfigIllegal: its name, queues or permission are illegal, or it is a system topic.
            LimitReached: it is new, and there are as many topics as there may be.
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
            self._put(config)

    def delete(self, name: str) -> bool:
        """Remove a topic, its messages and all offsets in it; says whether it was there.

        Raises:
            ConfigIllegal: it is a system topic.
        """
        if self.is_system(name):
            raise ConfigIllegal(f"The topic[{name}] is conflict with system topic.")
        if name not in self._by_name:
            return False

        self._remove(name)
        # All numbers that a queue can have: there may have been more queues than there are now.
        for queue_id in range(MAX_QUEUES):
            queue = self._store.queue(name, queue_id)
            if queue is not None:
                self._store.stage_drop(queue)
        self._offsets.remove_topic(name)
        return True

    def create_for_send(self, name: str, template: str, queues: int, creator: str | None = None) -> TopicConfig:
        """Make a missing topic after a template, as a send to it asks for.

        Args:
            name: The missing topic.
            template: Topic whose permissions and queues are taken over, normally `TBW102`.
            queues: Queues that the client wishes for; it gets at most as many as the template has.
            creator: The user that the topic counts for, None for nobody.

        Raises:
            NoSuchTopic: topics are not made by sending, or the template forbids it.
            ConfigIllegal: the name is illegal.
            LimitReached: there are as many topics as there may be.
        """
        source = self._by_name.get(template)
        if not self._auto_create or source is None or not source.perm & PERM_INHERIT:
            raise NoSuchTopic(f"topic[{name}] not exist, apply first please!")
        wished = max(1, min(queues, source.write_queues))
        self.put(TopicConfig(name, wished, wished, source.perm & ~PERM_INHERIT), creator)
        return self.require(name)

    def _counts(self, name: str) -> bool:
        # A retry or dead-letter topic comes and goes with its group, and groups are counted.
        return super()._counts(name) and names.owner_of(name) is None

    def ensure(self, name: str, queues: int = 1) -> TopicConfig:
        """The configuration of a retry or dead-letter topic, made if it is missing."""
        found = self._by_name.get(name)
        if found is None:
            self.put(TopicConfig(name, queues, queues))
            found = self._by_name[name]
        return found


def _queues_fault(config: TopicConfig) -> str | None:
    for what, queues in (("readQueueNums", config.read_queues), ("writeQueueNums", config.write_queues)):
        if not 0 <= queues <= MAX_QUEUES:
            return f"{what} of topic `{config.name}` is `{queues}`; it must be 0 to {MAX_QUEUES}"
    return None if config.queues else f"topic `{config.name}` needs at least one queue"
