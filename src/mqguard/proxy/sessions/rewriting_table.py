"""The changes that a guard in front of a cluster makes to each request and answer: one row for each served code.

`CHANGES` has the codes with changes, and `UNCHANGED` those without. The other sets name codes that are not passed on.
"""

from typing import Final, NamedTuple

from mqguard.guard.requirements import operations
from mqguard.remoting.codes import OwnCode, RequestCode


class RewrittenParts(NamedTuple):
    """The changes for one code.

    Attributes:
        request: What changes in requests, empty for nothing.
        answer: What changes in answers, empty for nothing.
    """

    request: str = ""
    answer: str = ""


_BROKER_IDS: Final = "address in each message id (`msgId`)"
_RECORDS: Final = "broker's address in each message (`storeHost`)"
_TABLES: Final = "addresses in `brokerAddrs`; a broker without an address at the guard is left out"
_BROKER: Final = "`brokerAddr`"
_CLIENTS: Final = "addresses of the guard's own connections become those of its clients"
_CONFIG: Final = "secrets are masked; hosts and addresses of brokers, and `namesrvAddr`"
_REMARK: Final = "broker's address in the remark of an error"
_SEND: Final = RewrittenParts(answer=f"{_BROKER_IDS}; {_REMARK}")
_LEFT_OUT: Final = "messages of a retry topic without the permission on their original topic are left out"
_PULL: Final = RewrittenParts(answer=f"{_RECORDS}; {_LEFT_OUT}")
_POP: Final = RewrittenParts(answer=_RECORDS)
_TOPICS: Final = RewrittenParts(answer=_BROKER)

CHANGES: Final[dict[int, RewrittenParts]] = {
    RequestCode.SEND_MESSAGE: _SEND,
    RequestCode.SEND_MESSAGE_V2: _SEND,
    RequestCode.SEND_BATCH_MESSAGE: _SEND,
    RequestCode.SEND_REPLY_MESSAGE: _SEND,
    RequestCode.SEND_REPLY_MESSAGE_V2: _SEND,
    RequestCode.PULL_MESSAGE: _PULL,
    RequestCode.LITE_PULL_MESSAGE: _PULL,
    RequestCode.POP_MESSAGE: _POP,
    RequestCode.PEEK_MESSAGE: _POP,
    RequestCode.POP_LITE_MESSAGE: RewrittenParts(answer=f"{_RECORDS}; messages of another parent topic are left out"),
    RequestCode.HEART_BEAT: RewrittenParts(
        request="consumers and subscriptions that are denied are left out", answer="names what was denied"
    ),
    RequestCode.QUERY_TOPICS_BY_CONSUMER: RewrittenParts(answer="topics without Get are left out"),
    RequestCode.GET_CONSUME_STATS: RewrittenParts(answer="topics without Get are left out, if the request names none"),
    RequestCode.QUERY_MESSAGE: RewrittenParts(
        answer=f"{_RECORDS}; messages of other topics, which a hash collision finds, are left out"
    ),
    RequestCode.VIEW_MESSAGE_BY_ID: RewrittenParts(answer=_RECORDS),
    RequestCode.CHECK_TRANSACTION_STATE: RewrittenParts(request=f"`offsetMsgId`; {_RECORDS}; credentials are removed"),
    RequestCode.CONSUME_MESSAGE_DIRECTLY: RewrittenParts(
        request=f"to the client: {_RECORDS}; the administrator's credentials are removed"
    ),
    RequestCode.GET_CONSUMER_RUNNING_INFO: RewrittenParts(
        request="to the client: the administrator's credentials are removed"
    ),
    RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT: RewrittenParts(request="`storeHost`; credentials are removed"),
    RequestCode.GET_ROUTEINFO_BY_TOPIC: RewrittenParts(answer=f"{_TABLES}; `filterServerTable` is emptied"),
    RequestCode.GET_BROKER_CLUSTER_INFO: RewrittenParts(answer=_TABLES),
    RequestCode.GET_BROKER_MEMBER_GROUP: RewrittenParts(answer=_TABLES),
    RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER: _TOPICS,
    RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS: _TOPICS,
    RequestCode.GET_TOPICS_BY_CLUSTER: _TOPICS,
    RequestCode.GET_UNIT_TOPIC_LIST: _TOPICS,
    RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST: _TOPICS,
    RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: _TOPICS,
    RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER: _TOPICS,
    RequestCode.GET_BROKER_CONSUME_STATS: _TOPICS,
    RequestCode.GET_BROKER_HA_STATUS: RewrittenParts(answer="host in `addr` and `masterAddr`; the port becomes 0"),
    RequestCode.GET_BROKER_RUNTIME_INFO: RewrittenParts(answer="hosts and addresses of brokers in the values"),
    RequestCode.GET_CONSUMER_CONNECTION_LIST: RewrittenParts(
        answer=f"`clientAddr`: {_CLIENTS}; subscriptions to topics without Get are left out"
    ),
    RequestCode.GET_PRODUCER_CONNECTION_LIST: RewrittenParts(answer=f"`clientAddr`: {_CLIENTS}"),
    RequestCode.GET_ALL_PRODUCER_INFO: RewrittenParts(answer=f"`remoteIP`: {_CLIENTS}"),
    RequestCode.GET_BROKER_CONFIG: RewrittenParts(answer=_CONFIG),
    RequestCode.GET_NAMESRV_CONFIG: RewrittenParts(answer=_CONFIG),
    RequestCode.REGISTER_TOPIC_IN_NAMESRV: RewrittenParts(
        request="addresses in `brokerAddrs` become those of the brokers"
    ),
    RequestCode.NOTIFICATION: RewrittenParts(answer=_REMARK),
    RequestCode.POLLING_INFO: RewrittenParts(answer=_REMARK),
    RequestCode.CONSUMER_SEND_MSG_BACK: RewrittenParts(answer=_REMARK),
}
"""The rows with changes, by request code."""

ANSWERED_HERE: Final = frozenset(operations.ACCESS) | {OwnCode.GET_DECISION}
"""Codes that the guard answers itself: users, policies and denials."""

BETWEEN_COMPONENTS: Final = frozenset(operations.CONTROLLER) | {
    RequestCode.REGISTER_BROKER,
    RequestCode.UNREGISTER_BROKER,
    RequestCode.QUERY_DATA_VERSION,
    RequestCode.BROKER_HEARTBEAT,
    RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE,
    RequestCode.NOTIFY_BROKER_ROLE_CHANGED,
    RequestCode.EXCHANGE_BROKER_HA_INFO,
    RequestCode.RESET_MASTER_FLUSH_OFFSET,
    RequestCode.ADD_BROKER,
    RequestCode.REMOVE_BROKER,
}
"""Codes between brokers, name servers, controllers and containers."""

NOT_PASSED_ON: Final = frozenset(operations.UNSERVED) | {OwnCode.TAKE_SNAPSHOT, OwnCode.DROP_SNAPSHOT}
"""Codes that no server serves to clients."""

UNCHANGED: Final = frozenset(
    {
        RequestCode.QUERY_CONSUMER_OFFSET,
        RequestCode.UPDATE_CONSUMER_OFFSET,
        RequestCode.UPDATE_AND_CREATE_TOPIC,
        RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
        RequestCode.GET_ALL_TOPIC_CONFIG,
        RequestCode.UPDATE_BROKER_CONFIG,
        RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,
        RequestCode.GET_MAX_OFFSET,
        RequestCode.GET_MIN_OFFSET,
        RequestCode.GET_EARLIEST_MSG_STORETIME,
        RequestCode.UNREGISTER_CLIENT,
        RequestCode.END_TRANSACTION,
        RequestCode.GET_CONSUMER_LIST_BY_GROUP,
        RequestCode.NOTIFY_CONSUMER_IDS_CHANGED,
        RequestCode.LOCK_BATCH_MQ,
        RequestCode.UNLOCK_BATCH_MQ,
        RequestCode.GET_ALL_CONSUMER_OFFSET,
        RequestCode.GET_ALL_DELAY_OFFSET,
        RequestCode.CHECK_CLIENT_CONFIG,
        RequestCode.GET_TIMER_CHECK_POINT,
        RequestCode.GET_TIMER_METRICS,
        RequestCode.PUT_KV_CONFIG,
        RequestCode.GET_KV_CONFIG,
        RequestCode.DELETE_KV_CONFIG,
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
        RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
        RequestCode.GET_TOPIC_STATS_INFO,
        RequestCode.WIPE_WRITE_PERM_OF_BROKER,
        RequestCode.DELETE_SUBSCRIPTIONGROUP,
        RequestCode.DELETE_TOPIC_IN_BROKER,
        RequestCode.DELETE_TOPIC_IN_NAMESRV,
        RequestCode.GET_KVLIST_BY_NAMESPACE,
        RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
        RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS,
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
        RequestCode.QUERY_TOPIC_CONSUME_BY_WHO,
        RequestCode.QUERY_CONSUME_TIME_SPAN,
        RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE,
        RequestCode.QUERY_CORRECTION_OFFSET,
        RequestCode.CLONE_GROUP_OFFSET,
        RequestCode.VIEW_BROKER_STATS_DATA,
        RequestCode.CLEAN_UNUSED_TOPIC,
        RequestCode.UPDATE_NAMESRV_CONFIG,
        RequestCode.QUERY_CONSUME_QUEUE,
        RequestCode.RESUME_CHECK_HALF_MESSAGE,
        RequestCode.ADD_WRITE_PERM_OF_BROKER,
        RequestCode.DELETE_EXPIRED_COMMITLOG,
        RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER,
        RequestCode.GET_TOPIC_CONFIG,
        RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG,
        RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN,
        RequestCode.CHECK_ROCKSDB_CQ_WRITE_PROGRESS,
        RequestCode.EXPORT_ROCKSDB_CONFIG_TO_JSON,
        RequestCode.RECALL_MESSAGE,
        RequestCode.QUERY_ASSIGNMENT,
        RequestCode.SET_MESSAGE_REQUEST_MODE,
        RequestCode.GET_ALL_MESSAGE_REQUEST_MODE,
        RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC,
        RequestCode.GET_BROKER_EPOCH_CACHE,
        RequestCode.UPDATE_COLD_DATA_FLOW_CTR_CONFIG,
        RequestCode.REMOVE_COLD_DATA_FLOW_CTR_CONFIG,
        RequestCode.GET_COLD_DATA_FLOW_CTR_INFO,
        RequestCode.SET_COMMITLOG_READ_MODE,
        RequestCode.SWITCH_TIMER_ENGINE,
        RequestCode.ACK_MESSAGE,
        RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
        RequestCode.POP_ROLLBACK,
        RequestCode.LITE_SUBSCRIPTION_CTL,
        RequestCode.NOTIFY_UNSUBSCRIBE_LITE,
        RequestCode.GET_BROKER_LITE_INFO,
        RequestCode.GET_PARENT_TOPIC_INFO,
        RequestCode.GET_LITE_TOPIC_INFO,
        RequestCode.GET_LITE_CLIENT_INFO,
        RequestCode.GET_LITE_GROUP_INFO,
        RequestCode.TRIGGER_LITE_DISPATCH,
        RequestCode.BATCH_ACK_MESSAGE,
    }
)
"""Codes whose requests and answers have neither addresses nor secrets."""
