"""Requests about whole brokers, name servers and controllers, and about users and policies."""

from mqguard.guard.permissions import GET, GET_LIST, UPDATE
from mqguard.guard.requirements.row import (
    CLUSTER_GET,
    CLUSTER_UPDATE,
    SUPER,
    UNSERVED_CODE,
    Requirement,
    cluster,
    internal,
)
from mqguard.remoting.codes import OwnCode, RequestCode

_TO_NAME_SERVER = "broker → name server"
_TO_CONTROLLER = "broker → controller"
_UNGUARDED = "Apache checks nothing here"
_OPEN_SERVER = "Apache's name server and controller check nothing"
_NOT_AN_OPERATOR = "Apache checks nothing here; `Cluster` Update administers a cluster and does not act as its broker"
_ROUTES = "Apache's name server checks nothing; it decides which broker clients find, for every topic and user"
_ELECTION = "Apache's controller checks nothing; it decides which broker is the master"

_READ = Requirement(own_cluster=GET, apache_difference=_UNGUARDED)
_WRITE = Requirement(own_cluster=UPDATE, apache_difference=_UNGUARDED)

BROKER: dict[int, Requirement] = {
    RequestCode.UPDATE_BROKER_CONFIG: Requirement(
        level=SUPER.level, apache_difference="Apache lets any authenticated user change it"
    ),
    RequestCode.GET_BROKER_CONFIG: Requirement(
        level=SUPER.level, apache_difference="Apache lets any authenticated user read it, secrets included"
    ),
    RequestCode.GET_BROKER_RUNTIME_INFO: _READ,
    RequestCode.GET_ALL_DELAY_OFFSET: _READ,
    RequestCode.GET_TIMER_CHECK_POINT: _READ,
    RequestCode.GET_TIMER_METRICS: _READ,
    RequestCode.GET_PRODUCER_CONNECTION_LIST: CLUSTER_GET,
    RequestCode.GET_ALL_PRODUCER_INFO: CLUSTER_GET,
    RequestCode.VIEW_BROKER_STATS_DATA: CLUSTER_GET,
    RequestCode.GET_BROKER_CONSUME_STATS: CLUSTER_GET,
    RequestCode.EXPORT_ROCKSDB_CONFIG_TO_JSON: CLUSTER_GET,
    RequestCode.GET_COLD_DATA_FLOW_CTR_INFO: _READ,
    RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE: _WRITE,
    RequestCode.CLEAN_UNUSED_TOPIC: _WRITE,
    RequestCode.DELETE_EXPIRED_COMMITLOG: _WRITE,
    RequestCode.UPDATE_COLD_DATA_FLOW_CTR_CONFIG: _WRITE,
    RequestCode.REMOVE_COLD_DATA_FLOW_CTR_CONFIG: _WRITE,
    RequestCode.SET_COMMITLOG_READ_MODE: _WRITE,
    RequestCode.SWITCH_TIMER_ENGINE: _WRITE,
    RequestCode.POP_ROLLBACK: _WRITE,
    RequestCode.GET_BROKER_HA_STATUS: _READ,
    RequestCode.GET_BROKER_EPOCH_CACHE: _READ,
    RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE: internal("name server → broker", _NOT_AN_OPERATOR),
    RequestCode.NOTIFY_BROKER_ROLE_CHANGED: internal("controller → broker", _NOT_AN_OPERATOR),
    RequestCode.EXCHANGE_BROKER_HA_INFO: internal("broker → broker", _NOT_AN_OPERATOR),
    RequestCode.RESET_MASTER_FLUSH_OFFSET: internal("broker → broker", _NOT_AN_OPERATOR),
    RequestCode.ADD_BROKER: Requirement(
        level=SUPER.level, apache_difference="Apache's container checks nothing; it starts a broker from any file"
    ),
    RequestCode.REMOVE_BROKER: Requirement(
        level=SUPER.level, apache_difference="Apache's container checks nothing; it stops a broker with all its topics"
    ),
}
"""Rows of requests to brokers and their containers."""

ACCESS: dict[int, Requirement] = {
    RequestCode.AUTH_CREATE_USER: CLUSTER_UPDATE,
    RequestCode.AUTH_UPDATE_USER: CLUSTER_UPDATE,
    RequestCode.AUTH_DELETE_USER: CLUSTER_UPDATE,
    RequestCode.AUTH_GET_USER: CLUSTER_GET,
    RequestCode.AUTH_LIST_USER: CLUSTER_GET,
    RequestCode.AUTH_CREATE_ACL: CLUSTER_UPDATE,
    RequestCode.AUTH_UPDATE_ACL: CLUSTER_UPDATE,
    RequestCode.AUTH_DELETE_ACL: CLUSTER_UPDATE,
    RequestCode.AUTH_GET_ACL: CLUSTER_GET,
    RequestCode.AUTH_LIST_ACL: CLUSTER_GET,
}
"""Rows of requests about users and policies. The handlers refuse what only Super users may grant or touch."""

OWN: dict[int, Requirement] = {
    OwnCode.GET_DECISION: Requirement(
        own_cluster=GET,
        apache_difference="mqguard's own; only Super users see entries that are no longer in force",
    ),
    OwnCode.TAKE_SNAPSHOT: Requirement(level=SUPER.level, apache_difference="mqguard's own; it copies all data"),
    OwnCode.DROP_SNAPSHOT: Requirement(level=SUPER.level, apache_difference="mqguard's own"),
}
"""Rows of requests that mqguard alone serves."""

NAME_SERVER: dict[int, Requirement] = {
    RequestCode.PUT_KV_CONFIG: Requirement(level=SUPER.level, apache_difference=_ROUTES),
    RequestCode.DELETE_KV_CONFIG: Requirement(level=SUPER.level, apache_difference=_ROUTES),
    RequestCode.GET_KV_CONFIG: Requirement(own_cluster=GET, apache_difference=_OPEN_SERVER),
    RequestCode.GET_KVLIST_BY_NAMESPACE: Requirement(own_cluster=GET, apache_difference=_OPEN_SERVER),
    RequestCode.REGISTER_BROKER: internal(_TO_NAME_SERVER, _ROUTES),
    RequestCode.UNREGISTER_BROKER: internal(_TO_NAME_SERVER, _ROUTES),
    RequestCode.QUERY_DATA_VERSION: internal(
        _TO_NAME_SERVER, "Apache's name server checks nothing; it keeps a broker in the routes as a heartbeat does"
    ),
    RequestCode.BROKER_HEARTBEAT: internal(
        "broker → name server, controller",
        "Apache's name server and controller check nothing; it keeps a broker in the routes",
    ),
    RequestCode.GET_BROKER_MEMBER_GROUP: Requirement(
        named=(cluster(GET),), internal=_TO_NAME_SERVER, apache_difference=_OPEN_SERVER
    ),
    RequestCode.GET_BROKER_CLUSTER_INFO: Requirement(
        own_cluster=GET,
        apache_difference="no producer or consumer asks for it, only `mqadmin` and `mqguard`; Apache checks nothing",
    ),
    RequestCode.WIPE_WRITE_PERM_OF_BROKER: Requirement(level=SUPER.level, apache_difference=_ROUTES),
    RequestCode.ADD_WRITE_PERM_OF_BROKER: Requirement(level=SUPER.level, apache_difference=_ROUTES),
    RequestCode.DELETE_TOPIC_IN_NAMESRV: Requirement(level=SUPER.level, apache_difference=_ROUTES),
    RequestCode.REGISTER_TOPIC_IN_NAMESRV: Requirement(level=SUPER.level, apache_difference=_ROUTES),
    RequestCode.GET_TOPICS_BY_CLUSTER: Requirement(
        named=(cluster(GET_LIST, "cluster"),), apache_difference=_OPEN_SERVER
    ),
    RequestCode.UPDATE_NAMESRV_CONFIG: Requirement(level=SUPER.level, apache_difference=_OPEN_SERVER),
    RequestCode.GET_NAMESRV_CONFIG: Requirement(level=SUPER.level, apache_difference=_OPEN_SERVER),
}
"""Rows of requests to name servers."""

CONTROLLER: dict[int, Requirement] = {
    RequestCode.CONTROLLER_ALTER_SYNC_STATE_SET: internal(_TO_CONTROLLER, _ELECTION),
    RequestCode.CONTROLLER_ELECT_MASTER: internal("tool, broker → controller", _ELECTION),
    RequestCode.CONTROLLER_REGISTER_BROKER: internal(_TO_CONTROLLER, _ELECTION),
    RequestCode.CONTROLLER_GET_REPLICA_INFO: Requirement(own_cluster=GET, apache_difference=_OPEN_SERVER),
    RequestCode.CONTROLLER_GET_METADATA_INFO: Requirement(own_cluster=GET, apache_difference=_OPEN_SERVER),
    RequestCode.CONTROLLER_GET_SYNC_STATE_DATA: Requirement(own_cluster=GET, apache_difference=_OPEN_SERVER),
    RequestCode.UPDATE_CONTROLLER_CONFIG: Requirement(level=SUPER.level, apache_difference=_OPEN_SERVER),
    RequestCode.GET_CONTROLLER_CONFIG: Requirement(level=SUPER.level, apache_difference=_OPEN_SERVER),
    RequestCode.CLEAN_BROKER_DATA: Requirement(level=SUPER.level, apache_difference=_ELECTION),
    RequestCode.CONTROLLER_GET_NEXT_BROKER_ID: internal(_TO_CONTROLLER, _ELECTION),
    RequestCode.CONTROLLER_APPLY_BROKER_ID: internal(_TO_CONTROLLER, _ELECTION),
}
"""Rows of requests to controllers."""

UNSERVED: dict[int, Requirement] = dict.fromkeys(
    (
        RequestCode.QUERY_BROKER_OFFSET,
        RequestCode.GET_TOPIC_CONFIG_LIST,
        RequestCode.GET_TOPIC_NAME_LIST,
        RequestCode.TRIGGER_DELETE_FILES,
        RequestCode.GET_CLIENT_CONFIG,
        RequestCode.SUSPEND_CONSUMER,
        RequestCode.RESUME_CONSUMER,
        RequestCode.RESET_CONSUMER_OFFSET_IN_CONSUMER,
        RequestCode.RESET_CONSUMER_OFFSET_IN_BROKER,
        RequestCode.ADJUST_CONSUMER_THREAD_POOL,
        RequestCode.WHO_CONSUME_THE_MESSAGE,
        RequestCode.REGISTER_FILTER_SERVER,
        RequestCode.REGISTER_MESSAGE_FILTER_CLASS,
        RequestCode.ACK_LITE_MESSAGE,
        RequestCode.BROKER_CLOSE_CHANNEL_REQUEST,
        RequestCode.CHECK_NOT_ACTIVE_BROKER_REQUEST,
        RequestCode.GET_BROKER_LIVE_INFO_REQUEST,
        RequestCode.GET_SYNC_STATE_DATA_REQUEST,
        RequestCode.RAFT_BROKER_HEART_BEAT_EVENT_REQUEST,
        # Only ever sent by a broker to a client.
        RequestCode.RESET_CONSUMER_CLIENT_OFFSET,
        RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT,
    ),
    UNSERVED_CODE,
)
"""Codes that no server serves: unused names, entries of the controllers' log, and requests to clients."""

ROWS: dict[int, Requirement] = {**BROKER, **ACCESS, **OWN, **NAME_SERVER, **CONTROLLER, **UNSERVED}
"""All of these, by request code."""
