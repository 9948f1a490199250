"""Options of servers, storage, connections and audit.

Names and meanings are Apache RocketMQ's (`BrokerConfig`, `MessageStoreConfig`, `NettyServerConfig`, `TlsSystemConfig`
of release 5.5.0) if Apache has the option.
"""

from pathlib import Path

from mqguard.auth.user import Secret
from mqguard.config import option
from mqguard.config.option import Option
from mqguard.model.properties import DEFAULT_REGION

DELAY_LEVELS = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

CLUSTER_NAME = Option(
    "brokerClusterName", option.NAME, "DefaultCluster", "The name of the cluster, as in `Cluster:NAME`.", "broker"
)
BROKER_NAME = Option(
    "brokerName", option.NAME, "broker-a", "The name of the broker.", "broker", apache_default="the host's name"
)
BROKER_ID = Option("brokerId", option.BROKER_ID, 0, "The number of the broker; 0 is the master.", "broker")
BROKER_IP = Option(
    "brokerIP1",
    option.HOST,
    "127.0.0.1",
    "The address under which clients reach the broker; routes name it.",
    "broker",
    apache_default="an address of the host",
)
LISTEN_PORT = Option("listenPort", option.PORT, 10911, "The broker's port; 0 takes any free one.", "broker")
VIP_CHANNEL = Option(
    "vipChannelEnable",
    option.BOOLEAN,
    default=True,
    help="True to listen on the port two below `listenPort` too, to which Java clients 4.2 to 4.5 send messages.",
    section="broker",
    apache_default="always `true`",
    ours=True,
)
BIND_ADDRESS = Option(
    "bindAddress",
    option.HOST,
    "",
    "The address that mqguard listens on; `0.0.0.0` or `::` for all.",
    "broker",
    says_default="`127.0.0.1` if `brokerIP1` is an address of this machine alone, else all addresses",
    apache_default="`0.0.0.0`",
)
BROKER_PERMISSION = Option(
    "brokerPermission",
    option.choice("6", "4", "2"),
    "6",
    "Permission of the whole broker: `6` to read and write, `4` to read only, `2` to write only. Policies decide what "
    "each user may do within it.",
    "broker",
)
REGION_ID = Option("regionId", option.NAME, DEFAULT_REGION, "The name of the region, sent to clients.", "broker")
TRACE_ON = Option("traceOn", option.BOOLEAN, default=True, help="True if clients should send traces.", section="broker")
NAMESRV_LISTEN_PORT = Option(
    "namesrvListenPort", option.PORT, 9876, "The name server's port; 0 takes any free one.", "namesrv", ours=True
)

NAMESRV_ADDR = Option(
    "namesrvAddr",
    option.ADDRESSES,
    option.Addresses(),
    "The name servers with which `mqguard broker` registers. `mqguard standalone` has its own name server.",
    "broker",
    says_default="none",
)
REGISTER_PERIOD = Option(
    "registerNameServerPeriod",
    option.integer(1_000, 60_000),
    10_000,
    "The interval at which the broker renews its registration with name servers, in milliseconds.",
    "broker",
    apache_default="`30000`",
)

SHARED_ACCESS_PATH = Option(
    "sharedAccessPath",
    option.OPTIONAL_PATH,
    None,
    "The data directory of a `mqguard namesrv` on this machine. The broker uses its users and policies, and is in its "
    "routes.",
    "broker",
    says_default="none: the broker has its own users and policies",
    ours=True,
)
SHARED_ACCESS_PROCESSES = Option(
    "sharedAccessProcesses",
    option.integer(1, 64),
    1,
    "The number of processes with the same users and policies: each verifies its part of the attempts with wrong "
    "secrets. `mqguard standalone --brokers` sets it.",
    "broker",
    ours=True,
)
SHARED_ACCESS_MAX_AGE = Option(
    "sharedAccessMaxAgeSeconds",
    option.integer(2, 3_600),
    10,
    "The time for which brokers serve requests while `mqguard namesrv`, whose users and policies they share, does not "
    "answer. It is set at the name server.",
    "namesrv",
    ours=True,
)

AUTO_CREATE_TOPIC = Option(
    "autoCreateTopicEnable",
    option.BOOLEAN,
    default=True,
    help="True if sending to a new topic creates it, if the user may.",
    section="engine",
)
AUTO_CREATE_GROUP = Option(
    "autoCreateSubscriptionGroup",
    option.BOOLEAN,
    default=True,
    help="True if consuming as a new group creates it.",
    section="engine",
)
PROPERTY_FILTER = Option(
    "enablePropertyFilter",
    option.BOOLEAN,
    default=False,
    help="True if consumers that pull may filter messages with SQL92 expressions. Those that pop always may.",
    section="engine",
)
FILTER_SUPPORT_RETRY = Option(
    "filterSupportRetry",
    option.BOOLEAN,
    default=False,
    help="True if a consumer's SQL92 expression for its retry topic is replaced by those of the original topics.",
    section="engine",
)
MAX_TOPICS = Option(
    "maxTopics",
    option.integer(1, 1_000_000),
    20_000,
    "The maximum number of topics, with the retry topics of pop, without other topics of groups and those of the "
    "broker itself. Existing ones stay.",
    "engine",
    ours=True,
)
MAX_TOPICS_PER_USER = Option(
    "maxTopicsPerUser",
    option.integer(0, 1_000_000),
    1_000,
    "The maximum number of topics that a user has created and that exist. Super users have no such limit.",
    "engine",
    ours=True,
)
MAX_GROUPS = Option(
    "maxSubscriptionGroups",
    option.integer(1, 1_000_000),
    20_000,
    "The maximum number of consumer groups. Existing ones stay.",
    "engine",
    ours=True,
)
MAX_GROUPS_PER_USER = Option(
    "maxSubscriptionGroupsPerUser",
    option.integer(0, 1_000_000),
    1_000,
    "The maximum number of groups that a user has created and that exist. Super users have no such limit.",
    "engine",
    ours=True,
)
DEFAULT_QUEUES = Option(
    "defaultTopicQueueNums",
    option.integer(1, 1024),
    8,
    "The maximum number of queues of an automatically created topic.",
    "engine",
)
MAX_MESSAGE_SIZE = Option(
    "maxMessageSize", option.SIZE, 4 * 1024 * 1024, "The maximum message size.", "engine", says_default="`4M`"
)
MESSAGE_DELAY_LEVELS = Option(
    "messageDelayLevel", option.DELAY_LEVELS, DELAY_LEVELS, "The delays of the levels 1, 2, 3, …", "engine"
)
TIMER_MAX_DELAY = Option(
    "timerMaxDelaySec",
    option.integer(1, 10 * 365 * 24 * 3600),
    3 * 24 * 3600,
    "The maximum delay in seconds of a message for a time.",
    "engine",
    says_default="`259200` (3 days)",
)
TIMER_PRECISION = Option(
    "timerPrecisionMs",
    option.integer(1, 1000),
    1,
    "The unit in milliseconds to which the time of delivery of such a message is rounded up. Apache has 1000.",
    "engine",
)
RECALL_MESSAGES = Option(
    "recallMessageEnable",
    option.BOOLEAN,
    default=True,
    help="True if producers can recall messages for a time that are not yet delivered. Apache has `false`.",
    section="engine",
)
MAX_FETCH_MESSAGES = Option(
    "maxTransferCountOnMessageInMemory",
    option.integer(1, 1024),
    32,
    "The maximum number of messages of one pull.",
    "engine",
)
MAX_FETCH_BYTES = Option(
    "maxTransferBytesOnMessageInMemory", option.SIZE, 256 * 1024, "The maximum number of bytes of one pull.", "engine"
)
MAX_IN_FLIGHT = Option(
    "popInflightMessageThreshold",
    option.integer(1, 1_000_000),
    10_000,
    "The maximum number of messages of a queue that a group has popped and not acknowledged.",
    "engine",
)
REQUEST_MODE = Option(
    "defaultMessageRequestMode",
    option.choice("PULL", "POP"),
    "PULL",
    "The way in which groups consume that let the broker assign queues, if `mqadmin setConsumeMode` set none.",
    "engine",
)
POP_SHARE_QUEUES = Option(
    "defaultPopShareQueueNum",
    option.integer(-1, 1024),
    -1,
    "The number of further members whose queues a member of a group pops too, with the mode `POP`; -1 for all.",
    "engine",
)
LONG_POLLING = Option(
    "longPollingEnable",
    option.BOOLEAN,
    default=True,
    help="True if a pull waits for messages as long as its client requests.",
    section="engine",
)

TRANSACTION_TIMEOUT = Option(
    "transactionTimeOut",
    option.integer(0, 86_400_000),
    6_000,
    "The age of a transaction at its first check, in milliseconds, unless its producer chooses another.",
    "engine",
)
TRANSACTION_CHECK_MAX = Option(
    "transactionCheckMax",
    option.integer(1, 10_000),
    15,
    "The number of checks of a transaction. If none gives a result, its message is discarded.",
    "engine",
)
TRANSACTION_CHECK_INTERVAL = Option(
    "transactionCheckInterval",
    option.integer(100, 86_400_000),
    30_000,
    "The interval of the checks of a transaction, in milliseconds.",
    "engine",
)
MAX_PENDING_TRANSACTIONS = Option(
    "maxPendingTransactions",
    option.integer(1, 1_000_000),
    100_000,
    "The maximum number of transactions that have not ended. If it is reached, each user still has an even share.",
    "engine",
    ours=True,
)

STORE_PATH = Option(
    "storePathRootDir",
    option.PATH,
    Path("mqguard-data"),
    "The data directory. Only one process uses it at a time.",
    "store",
    says_default="`mqguard-data` in the directory of the start",
    apache_default="`$HOME/store`",
)
FLUSH_DISK_TYPE = Option(
    "flushDiskType",
    option.choice("ASYNC_FLUSH", "SYNC_FLUSH"),
    "ASYNC_FLUSH",
    "Acknowledged messages survive the end of the process (`ASYNC_FLUSH`), or also of the machine (`SYNC_FLUSH`).",
    "store",
)
FLUSH_INTERVAL = Option(
    "flushIntervalCommitLog",
    option.integer(10, 60_000),
    500,
    "Interval of syncs with `ASYNC_FLUSH`, in milliseconds: a crash of the machine loses at most this time.",
    "store",
)
FILE_RESERVED_TIME = Option(
    "fileReservedTime", option.integer(1, 24 * 3650), 72, "Number of hours that messages are kept.", "store"
)
MAX_BYTES = Option(
    "maxStoreBytes",
    option.SIZE,
    0,
    "Maximum size of all messages. Beyond it, the oldest ones of the largest topic are deleted; 0 for no limit.",
    "store",
    ours=True,
)
MAX_TRACE_BYTES = Option(
    "maxTraceBytes",
    option.SIZE,
    0,
    "When the trace topics keep more than this, their oldest messages are deleted; 0 is a sixteenth of "
    "`maxStoreBytes`, or 256M without it.",
    "store",
    ours=True,
)
DISK_FULL_RATIO = Option(
    "diskSpaceWarningLevelRatio",
    option.integer(10, 100),
    95,
    "Maximum use of the disk in percent; beyond it, messages are refused.",
    "store",
    apache_default="`90`",
)

TLS_MODE = Option(
    "tls.server.mode",
    option.choice("disabled", "permissive", "enforcing"),
    "permissive",
    "TLS is disabled, optional on the same port as plain connections, or required.",
    "net",
)
TLS_CERTIFICATE = Option(
    "tls.server.certPath", option.OPTIONAL_PATH, None, "The certificate chain, PEM.", "net", says_default="none"
)
TLS_KEY = Option("tls.server.keyPath", option.OPTIONAL_PATH, None, "The private key, PEM.", "net", says_default="none")
TLS_KEY_PASSWORD: Option[Secret | None] = Option(
    "tls.server.keyPassword",
    option.SECRET,
    None,
    "The passphrase of the private key.",
    "net",
    says_default="none",
    secret=True,
)
TLS_TRUST = Option(
    "tls.server.trustCertPath",
    option.OPTIONAL_PATH,
    None,
    "The certificate authorities of client certificates, PEM.",
    "net",
    says_default="none",
)
TLS_CLIENT_AUTH = Option(
    "tls.server.need.client.auth",
    option.choice("none", "optional", "require"),
    "none",
    "The use of client certificates. `require` needs `tls.server.mode = enforcing`.",
    "net",
)
TLS_TEST_MODE = Option(
    "tls.test.mode.enable",
    option.BOOLEAN,
    default=True,
    help="True to create a self-signed certificate if none is given; otherwise there is no TLS without one.",
    section="net",
)
TLS_CLIENT = Option(
    "tls.enable",
    option.BOOLEAN,
    default=False,
    help="True if the broker encrypts its connections to name servers.",
    section="net",
)
TLS_CLIENT_TRUST = Option(
    "tls.client.trustCertPath",
    option.OPTIONAL_PATH,
    None,
    "The certificate authorities of name servers, PEM; without them, any certificate is accepted.",
    "net",
    says_default="none",
)
TLS_CLIENT_CERTIFICATE = Option(
    "tls.client.certPath",
    option.OPTIONAL_PATH,
    None,
    "The certificate chain that the broker shows to name servers, PEM.",
    "net",
    says_default="none",
)
TLS_CLIENT_KEY = Option(
    "tls.client.keyPath", option.OPTIONAL_PATH, None, "The key of that certificate, PEM.", "net", says_default="none"
)
PROXY_PROTOCOL_PEERS = Option(
    "proxyProtocolPeers",
    option.NETWORKS,
    (),
    "The load balancers whose PROXY protocol header is trusted.",
    "net",
    says_default="none",
    apache_default="every sender is trusted",
    ours=True,
)
IDLE_SECONDS = Option(
    "serverChannelMaxIdleTimeSeconds",
    option.integer(1, 86_400),
    120,
    "Maximum idle time of a connection, in seconds.",
    "net",
)
MAX_CONNECTIONS = Option(
    "maxConnections",
    option.integer(1, 1_000_000),
    16_384,
    "Maximum number of connections of a port.",
    "net",
    ours=True,
)
MAX_CONNECTIONS_PER_ADDRESS = Option(
    "maxConnectionsPerAddress",
    option.integer(1, 1_000_000),
    4096,
    "Maximum number of connections of one address at a port; an IPv6 address counts as its /64 network.",
    "net",
    ours=True,
)

AUDIT_PATH = Option(
    "auditPath",
    option.OPTIONAL_PATH,
    None,
    "The directory of the audit log.",
    "audit",
    says_default="`audit` in the data directory",
    ours=True,
)
AUDIT_ADMISSIONS = Option(
    "auditAdmissions",
    option.choice("full", "summary", "off"),
    "full",
    "The records of admitted requests: one for each, one for all equal requests of a minute, or none. Administrative "
    "requests, denials and changes always have records.",
    "audit",
    ours=True,
)
AUDIT_WHEN_FULL = Option(
    "auditWhenFull",
    option.choice("drop", "refuse"),
    "drop",
    "What happens to admissions while the audit log cannot keep up: their lines are dropped and counted, or they are "
    "refused. Denials are never dropped, and changes of users and policies are refused.",
    "audit",
    ours=True,
)
AUDIT_MAX_FILE = Option(
    "auditMaxFileSize", option.SIZE, 128 << 20, "Size of an audit file at which a new one begins.", "audit", ours=True
)
AUDIT_FILES = Option(
    "auditMaxFiles",
    option.integer(1, 1000),
    10,
    "Number of full audit files of each form and stream that are kept.",
    "audit",
    ours=True,
)
AUDIT_KEEP_DAYS = Option(
    "auditKeepDays",
    option.integer(0, 36_500),
    0,
    "Number of days after which a full audit file is removed, even if there is room for it.",
    "audit",
    says_default="0: the age of a file does not matter",
    ours=True,
)
AUDIT_SINKS = Option(
    "auditSinks",
    option.PLUGINS,
    (),
    "Plugins that get every audit record, in addition to the files.",
    "audit",
    says_default="none",
    ours=True,
)
LOG_JSON = Option(
    "logJson",
    option.BOOLEAN,
    default=False,
    help="True if log lines on standard error are JSON objects.",
    section="audit",
    ours=True,
)
LOG_LEVEL = Option(
    "logLevel",
    option.choice("debug", "info", "warning", "error"),
    "info",
    "The minimum level of log lines on standard error.",
    "audit",
    ours=True,
)
