"""Settings of the engine."""

import dataclasses

from mqguard.model.names import TRACE_TOPIC, trace_topics
from mqguard.model.properties import DEFAULT_REGION, trace_fields
from mqguard.model.topic import PERM_BOTH

DELAY_LEVELS = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings of the engine; names in parentheses are keys of `broker.conf`.

    Attributes:
        cluster: Name of the cluster (`brokerClusterName`).
        broker: Name of the broker (`brokerName`).
        address: IP address at which clients reach the broker (`brokerIP1`), written into messages and their ids.
        port: Port at which clients reach the broker (`listenPort`).
        region: Name of the region (`regionId`), written into every message.
        trace_on: True if clients should send traces (`traceOn`), written into every message.
        permission: Permission of the whole broker, with the bits of a topic's permission (`brokerPermission`).
        auto_create_topic: True if a send creates a missing topic (`autoCreateTopicEnable`).
        property_filter: True if consumers may filter by properties with SQL92 (`enablePropertyFilter`).
        auto_create_group: True if a consumer creates a missing group (`autoCreateSubscriptionGroup`).
        max_topics: Maximum number of topics, with the retry topics of pop, without other topics of groups and those of
            the broker itself (`maxTopics`).
        max_topics_per_user: Maximum number of topics that one user has created (`maxTopicsPerUser`).
        max_groups: Maximum number of consumer groups (`maxSubscriptionGroups`).
        max_groups_per_user: Maximum number of groups that one user has created (`maxSubscriptionGroupsPerUser`).
        default_queues: Queues of the template topic (`defaultTopicQueueNums`).
        max_message_bytes: Maximum bytes of a body (`maxMessageSize`).
        max_fetch_messages: Maximum messages of one fetch (`maxTransferCountOnMessageInMemory`).
        max_fetch_bytes: Maximum bytes of one fetch (`maxTransferBytesOnMessageInMemory`).
        max_in_flight: Maximum messages of a queue that one group has popped and not acknowledged
            (`popInflightMessageThreshold`).
        sync_flush: True if a commit waits for the disk (`flushDiskType` is `SYNC_FLUSH`).
        delay_levels: Delays of the levels (`messageDelayLevel`).
        timer_max_seconds: Maximum delay of a message for a time (`timerMaxDelaySec`).
        timer_precision_ms: Unit to which the due time of such a message is rounded up (`timerPrecisionMs`).
        recall: True if messages for a time can be recalled (`recallMessageEnable`).
        reserved_hours: Age in hours at which messages are deleted (`fileReservedTime`); 0 keeps them.
        max_bytes: Maximum bytes of all messages (`maxStoreBytes`). Beyond it the oldest messages of the largest topic
            are deleted; 0 sets no limit.
        trace_topic: Topic to which clients send traces without a grant (`msgTraceTopicName`).
        trace_bytes: Maximum bytes of the trace topics (`maxTraceBytes`). 0 means a sixteenth of `max_bytes`, or 256 MiB
            if that is 0 too.
        max_disk_ratio: Used part of the disk above which sends are rejected (`diskSpaceWarningLevelRatio` / 100).
        transaction_timeout_ms: Age of a half message at its first check, unless its producer chose another
            (`transactionTimeOut`).
        transaction_check_max: Number of checks after which a half message is discarded (`transactionCheckMax`).
        transaction_check_interval_ms: Interval of the checks of a half message (`transactionCheckInterval`).
        max_pending_transactions: Maximum number of transactions that have not ended (`maxPendingTransactions`).
        process: Number of this process, which makes unique ids unique on the host.
    """

    cluster: str = "DefaultCluster"
    broker: str = "broker-a"
    address: str = "127.0.0.1"
    port: int = 10911
    region: str = DEFAULT_REGION
    trace_on: bool = True
    permission: int = PERM_BOTH
    auto_create_topic: bool = True
    property_filter: bool = False
    auto_create_group: bool = True
    max_topics: int = 20_000
    max_topics_per_user: int = 1_000
    max_groups: int = 20_000
    max_groups_per_user: int = 1_000
    default_queues: int = 8
    max_message_bytes: int = 4 * 1024 * 1024
    max_fetch_messages: int = 32
    max_fetch_bytes: int = 256 * 1024
    max_in_flight: int = 10_000
    sync_flush: bool = False
    delay_levels: str = DELAY_LEVELS
    timer_max_seconds: int = 3 * 24 * 3600
    timer_precision_ms: int = 1
    recall: bool = True
    reserved_hours: int = 72
    max_bytes: int = 0
    trace_topic: str = TRACE_TOPIC
    trace_bytes: int = 0
    max_disk_ratio: float = 0.95
    transaction_timeout_ms: int = 6_000
    transaction_check_max: int = 15
    transaction_check_interval_ms: int = 30_000
    max_pending_transactions: int = 100_000
    process: int = 0

    @property
    def trace_topics(self) -> frozenset[str]:
        """The topics to which clients send traces; see `names.trace_topics`."""
        return trace_topics(self.trace_topic, self.region)

    def trace_fields(self) -> dict[str, str]:
        """Return the properties of every message that clients need for traces; see `properties.trace_fields`."""
        return trace_fields(self.region, trace_on=self.trace_on)
