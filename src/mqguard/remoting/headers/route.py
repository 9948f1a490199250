"""Ext fields of the name server (100 to 105, 205, 216, 217, 219, 224, 322, 327, 901, 904)."""

from typing import Final

from mqguard.remoting.headers.codec import Header, Int32, Int64


class RouteHeader(Header):
    """105: the route of a topic."""

    topic: str
    accept_standard_json_only: bool | None = None


OWN_BROKERS: Final = "mqguardOwnBrokers"
"""The field of `OwnBrokersHeader` in frames."""


class OwnBrokersHeader(Header):
    """105 and 106 and their answers: the brokers in the name server's own process; an extension of mqguard.

    Attributes:
        mqguard_own_brokers: `1` in a request; in an answer the addresses, joined by `;`.
    """

    mqguard_own_brokers: str | None = None


class OwnRouteHeader(RouteHeader):
    """105 that also requests the name server's own brokers.

    Attributes:
        mqguard_own_brokers: `1`.
    """

    mqguard_own_brokers: str | None = None


class ClusterHeader(Header):
    """224: one cluster."""

    cluster: str


class DeleteTopicHeader(Header):
    """216: delete a topic, in one cluster or everywhere."""

    topic: str
    cluster_name: str | None = None


class BrokerNameHeader(Header):
    """205 and 327: remove write permission from a broker, or restore it."""

    broker_name: str


class WipedAnswer(Header):
    """Answer of 205: the number of changed topics."""

    wipe_topic_count: Int32


class AddedAnswer(Header):
    """Answer of 327: the number of changed topics."""

    add_topic_count: Int32


class KeyHeader(Header):
    """101 and 102: one key of a key-value namespace."""

    namespace: str
    key: str


class PutKeyHeader(KeyHeader):
    """100: set a key of a key-value namespace."""

    value: str


class KeysHeader(Header):
    """219: all keys of a key-value namespace."""

    namespace: str


class KeyAnswer(Header):
    """Answer of 101."""

    value: str | None = None


class RegisterBrokerHeader(Header):
    """103: a broker and its topics.

    Attributes:
        compressed: True if the body is deflated.
        body_crc32: Checksum of the body as sent; 0 and None are unchecked.
    """

    broker_name: str
    broker_addr: str
    cluster_name: str
    ha_server_addr: str
    broker_id: Int64
    heartbeat_timeout_millis: Int64 | None = None
    enable_acting_master: bool | None = None
    compressed: bool = False
    body_crc32: Int64 | None = None


class RegisterBrokerAnswer(Header):
    """Answer of 103."""

    ha_server_addr: str | None = None
    master_addr: str | None = None


class BrokerHeader(Header):
    """104 and 322: one broker."""

    broker_name: str
    broker_addr: str
    cluster_name: str
    broker_id: Int64


class DataVersionAnswer(Header):
    """Answer of 322."""

    changed: bool


class MemberGroupHeader(Header):
    """901: the brokers of one name."""

    cluster_name: str
    broker_name: str


class BrokerHeartbeatHeader(Header):
    """904: a broker is alive."""

    cluster_name: str
    broker_addr: str
    broker_name: str
    broker_id: Int64 | None = None
    epoch: Int32 | None = None
    max_offset: Int64 | None = None
    confirm_offset: Int64 | None = None
    heartbeat_timeout_mills: Int64 | None = None
    election_priority: Int32 | None = None
