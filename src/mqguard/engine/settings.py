"""What the engine can be told."""

import dataclasses

from mqguard.model.names import TRACE_TOPIC

DELAY_LEVELS = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings of the engine; names in parentheses are the keys of `broker.conf`.

    Attributes:
        cluster: Name of the cluster (`brokerClusterName`).
        broker: Name of the broker (`brokerName`).
        address: The broker's reachable IP address (`brokerIP1`); it goes into every message and message id.
        port: The broker's reachable port (`listenPort`).
        region: Written into every message (`regionId`).
        trace_on: Whether clients are told to trace (`traceOn`).
        auto_create_topic: Whether a send makes a missing topic (`autoCreateTopicEnable`).
        auto_create_group: Whether a consumer makes a missing group (`autoCreateSubscriptionGroup`).
        max_topics: Maximum number of topics, without those of the broker itself and of groups (`maxTopics`).
        max_topics_per_user: Maximum number of topics that one user has created (`maxTopicsPerUser`).
        max_groups: Maximum number of consumer groups (`maxSubscriptionGroups`).
        max_groups_per_user: Maximum number of groups that one user has created (`maxSubscriptionGroupsPerUser`).
        default_queues: Queues of the template topic (`defaultTopicQueueNums`).
        max_message_bytes: Largest body (`maxMessageSize`).
        max_fetch_messages: Most messages of one fetch (`maxTransferCountOnMessageInMemory`).
        max_fetch_bytes: Most bytes of one fetch (`maxTransferBytesOnMessageInMemory`).
        sync_flush: Whether an acknowledgement waits for the disk (`flushDiskType` is `SYNC_FLUSH`).
        delay_levels: Times of the delay levels (`messageDelayLevel`).
        timer_max_seconds: How far ahead a message may be delivered (`timerMaxDelaySec`).
        reserved_hours: Messages older than this are deleted (`fileReservedTime`); 0 keeps them.
        max_bytes: When more bytes than this are kept, the oldest messages of the largest topic are deleted; 0 sets no
            limit.
        trace_topic: Topic to which clients send traces, for which they need no grant (`msgTraceTopicName`).
        trace_bytes: The same limit for the trace topic alone; 0 is a sixteenth of `max_bytes`, or 256 MiB without it.
        max_disk_ratio: Sends are refused when more of the disk than this is in use (`diskMaxUsedSpaceRatio` / 100).
        process: A number that tells this process from others on the host, for unique ids.
    """

    cluster: str = "DefaultCluster"
    broker: str = "broker-a"
    address: str = "127.0.0.1"
    port: int = 10911
    region: str = "DefaultRegion"
    trace_on: bool = True
    auto_create_topic: bool = True
    auto_create_group: bool = True
    max_topics: int = 20_000
    max_topics_per_user: int = 1_000
    max_groups: int = 20_000
    max_groups_per_user: int = 1_000
    default_queues: int = 8
    max_message_bytes: int = 4 * 1024 * 1024
    max_fetch_messages: int = 32
    max_fetch_bytes: int = 256 * 1024
    sync_flush: bool = False
    delay_levels: str = DELAY_LEVELS
    timer_max_seconds: int = 3 * 24 * 3600
    reserved_hours: int = 72
    max_bytes: int = 0
    trace_topic: str = TRACE_TOPIC
    trace_bytes: int = 0
    max_disk_ratio: float = 0.95
    process: int = 0
