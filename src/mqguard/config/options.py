"""Every option, once: name, kind, default, what it does.

Names and meanings are Apache RocketMQ's (`AuthConfig`, `BrokerConfig`, `MessageStoreConfig`, `NettyServerConfig`,
`TlsSystemConfig` of release 5.5.0) where Apache has one; mqguard's own are marked. `docs/config.md` is made from this.
"""

from pathlib import Path
from typing import Any

from mqguard.auth.user import Secret
from mqguard.config import kinds
from mqguard.config.option import Option
from mqguard.config.secret import Credentials

NOT_OPTIONS = frozenset(
    {
        "MQGUARD_ACCESS_KEY",
        "MQGUARD_SECRET_KEY",
        "MQGUARD_NAMESRV",
        "MQGUARD_CONFIG",
        "MQGUARD_DATA",
        "MQGUARD_SEALING_KEY",
        "MQGUARD_TRACEBACK",
        "MQGUARD_VENV",
    }
)
"""Environment variables of ours that are no options: they belong to the command line and to the set-up."""

SECRETS_PREFIX = "MQGUARD_SECRET_"
"""Begins environment variables that policy files refer to for the secrets of users."""

SECTIONS = {
    "auth": "Who is let in, and who may do what",
    "broker": "The broker",
    "namesrv": "The name server",
    "engine": "Topics, groups and messages",
    "store": "Storage",
    "net": "Connections and TLS",
    "audit": "Audit and logs",
}

DELAY_LEVELS = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"
_AUTHENTICATION = "org.apache.rocketmq.auth.authentication."
_AUTHORIZATION = "org.apache.rocketmq.auth.authorization."

_EACH = "`stateless`: every request is checked; `stateful`: a verdict is kept until users or policies change."

AUTHENTICATION_ENABLED = Option(
    "authenticationEnabled",
    kinds.BOOLEAN,
    default=True,
    help="Whether every request must be signed by a known user.",
    section="auth",
    apache_default="`false`",
)
AUTHENTICATION_PROVIDER = Option(
    "authenticationProvider",
    kinds.plugin({_AUTHENTICATION + "provider.DefaultAuthenticationProvider": "default"}),
    "default",
    "What checks who a caller is.",
    "auth",
)
AUTHENTICATION_METADATA_PROVIDER = Option(
    "authenticationMetadataProvider",
    kinds.plugin({_AUTHENTICATION + "provider.LocalAuthenticationMetadataProvider": "local"}),
    "local",
    "Where users are kept: `local` is the data directory.",
    "auth",
    apache_default="none: nobody is known",
)
AUTHENTICATION_STRATEGY = Option(
    "authenticationStrategy",
    kinds.plugin(
        {
            _AUTHENTICATION + "strategy.StatelessAuthenticationStrategy": "stateless",
            _AUTHENTICATION + "strategy.StatefulAuthenticationStrategy": "stateful",
        }
    ),
    "stateless",
    _EACH,
    "auth",
)
AUTHENTICATION_WHITELIST = Option(
    "authenticationWhitelist",
    kinds.REQUESTS,
    frozenset(),
    "Request codes that need no signature.",
    "auth",
    says_default="none",
)
INIT_AUTHENTICATION_USER: Option[Credentials | None] = Option(
    "initAuthenticationUser",
    kinds.USER_CREDENTIALS,
    None,
    "A super user that is created at start if there is no user of its name.",
    "auth",
    says_default="none; on the first start a super user `admin` with a random secret",
    apache_default="none",
    secret=True,
)
INNER_CLIENT_CREDENTIALS: Option[Credentials | None] = Option(
    "innerClientAuthenticationCredentials",
    kinds.INNER_CREDENTIALS,
    None,
    "What brokers and proxies sign their own requests with; also a super user, created as the one above.",
    "auth",
    says_default="none",
    secret=True,
)
AUTHORIZATION_ENABLED = Option(
    "authorizationEnabled",
    kinds.BOOLEAN,
    default=True,
    help="Whether every request must be allowed by a policy of its user.",
    section="auth",
    apache_default="`false`",
)
AUTHORIZATION_ENFORCEMENT = Option(
    "authorizationEnforcement",
    kinds.choice("enforce", "shadow"),
    "enforce",
    "`shadow` lets in what policies would refuse an authenticated user, and only records it (see access-control.md).",
    "auth",
    ours=True,
)
AUTHORIZATION_PROVIDER = Option(
    "authorizationProvider",
    kinds.plugin({_AUTHORIZATION + "provider.DefaultAuthorizationProvider": "default"}),
    "default",
    "What decides whether a caller may do something.",
    "auth",
)
AUTHORIZATION_METADATA_PROVIDER = Option(
    "authorizationMetadataProvider",
    kinds.plugin({_AUTHORIZATION + "provider.LocalAuthorizationMetadataProvider": "local"}),
    "local",
    "Where policies are kept; always the same as `authenticationMetadataProvider`.",
    "auth",
    apache_default="none: nothing is allowed",
)
AUTHORIZATION_STRATEGY = Option(
    "authorizationStrategy",
    kinds.plugin(
        {
            _AUTHORIZATION + "strategy.StatelessAuthorizationStrategy": "stateless",
            _AUTHORIZATION + "strategy.StatefulAuthorizationStrategy": "stateful",
        }
    ),
    "stateless",
    _EACH,
    "auth",
)
AUTHORIZATION_WHITELIST = Option(
    "authorizationWhitelist",
    kinds.REQUESTS,
    frozenset(),
    "Request codes that no policy is asked for.",
    "auth",
    says_default="none",
)
TRACE_TOPIC = Option(
    "msgTraceTopicName", kinds.NAME, "RMQ_SYS_TRACE_TOPIC", "The topic to which clients send traces.", "auth"
)
TRACE_TOPIC_OPEN = Option(
    "traceTopicOpen",
    kinds.BOOLEAN,
    default=True,
    help="Whether any user may send traces unless a policy speaks against it.",
    section="auth",
    ours=True,
)
TRUST_CLAIMED_USER = Option(
    "authorizationTrustsClaimedUser",
    kinds.BOOLEAN,
    default=False,
    help="Says that authorization without authentication is meant: policies apply to whatever name a caller claims.",
    section="auth",
    ours=True,
)
STATEFUL_ENTRIES = Option(
    "statefulAuthenticationCacheMaxNum",
    kinds.integer(1, 10_000_000),
    10_000,
    "How many connections the stateful strategy remembers.",
    "auth",
)
STATEFUL_SECONDS = Option(
    "statefulAuthenticationCacheExpiredSecond",
    kinds.integer(1, 86_400),
    60,
    "How long the stateful strategy remembers a connection.",
    "auth",
)
STATEFUL_RULINGS = Option(
    "statefulAuthorizationCacheMaxNum",
    kinds.integer(1, 10_000_000),
    10_000,
    "How many answers of an authorization plugin the stateful strategy remembers.",
    "auth",
)
STATEFUL_RULINGS_SECONDS = Option(
    "statefulAuthorizationCacheExpiredSecond",
    kinds.integer(1, 86_400),
    60,
    "How long the stateful strategy remembers an answer of an authorization plugin; our own policies are never stale.",
    "auth",
)
AUTHENTICATION_HANDLERS = Option(
    "authenticationHandlers",
    kinds.PLUGINS,
    (),
    "Plugins that are asked, in this order, after a caller has proved who it is.",
    "auth",
    says_default="none",
    ours=True,
)
AUTHORIZATION_HANDLERS = Option(
    "authorizationHandlers",
    kinds.PLUGINS,
    (),
    "Plugins that are asked, in this order, after something was allowed.",
    "auth",
    says_default="none",
    ours=True,
)
PLUGIN_TIMEOUT = Option(
    "pluginTimeoutMs",
    kinds.integer(1, 60_000),
    1_000,
    "How long a request waits for all of its plugins, in milliseconds, before it is refused.",
    "auth",
    ours=True,
)
PLUGIN_THREADS = Option(
    "pluginThreads",
    kinds.integer(1, 256),
    8,
    "How many questions a plugin that may wait is asked at a time.",
    "auth",
    ours=True,
)
MIGRATE_V1 = Option(
    "migrateAuthFromV1Enabled",
    kinds.BOOLEAN,
    default=False,
    help="Whether a start carries users over from the files of ACL 1.0; see `mqguard migrate` for a dry run.",
    section="auth",
)
ROCKETMQ_HOME = Option(
    "rocketmqHome",
    kinds.OPTIONAL_PATH,
    None,
    "Where `conf/acl` and `conf/plain_acl.yml` of ACL 1.0 are looked for.",
    "auth",
    says_default="the environment variable `ROCKETMQ_HOME`",
)
SECRET_EXPOSURE = Option(
    "secretExposure",
    kinds.choice("sealed", "masked", "plain"),
    "sealed",
    "How secrets are answered to administrators: encrypted so that a copy of the user works, hidden, or in clear.",
    "auth",
    apache_default="`plain`, always",
    ours=True,
)

CLUSTER_NAME = Option(
    "brokerClusterName", kinds.NAME, "DefaultCluster", "The name of the cluster, as in `Cluster:NAME`.", "broker"
)
BROKER_NAME = Option(
    "brokerName", kinds.NAME, "broker-a", "The name of the broker.", "broker", apache_default="the host's name"
)
BROKER_ID = Option("brokerId", kinds.integer(0, 2**31 - 1), 0, "The number of the broker; 0 is the master.", "broker")
BROKER_IP = Option(
    "brokerIP1",
    kinds.HOST,
    "127.0.0.1",
    "The address under which clients reach the broker; routes name it.",
    "broker",
    apache_default="an address of the host",
)
LISTEN_PORT = Option("listenPort", kinds.PORT, 10911, "The broker's port; 0 takes any free one.", "broker")
BIND_ADDRESS = Option(
    "bindAddress",
    kinds.HOST,
    "",
    "The address that is listened on; `0.0.0.0` or `::` for all.",
    "broker",
    says_default="`127.0.0.1` if `brokerIP1` is an address of this machine alone, else all addresses",
    apache_default="`0.0.0.0`",
)
REGION_ID = Option("regionId", kinds.NAME, "DefaultRegion", "The name of the region, told to clients.", "broker")
TRACE_ON = Option(
    "traceOn", kinds.BOOLEAN, default=True, help="Whether clients are told to send traces.", section="broker"
)
NAMESRV_LISTEN_PORT = Option(
    "namesrvListenPort", kinds.PORT, 9876, "The name server's port; 0 takes any free one.", "namesrv", ours=True
)

AUTO_CREATE_TOPIC = Option(
    "autoCreateTopicEnable",
    kinds.BOOLEAN,
    default=True,
    help="Whether sending to a new topic creates it, if the user may.",
    section="engine",
)
AUTO_CREATE_GROUP = Option(
    "autoCreateSubscriptionGroup",
    kinds.BOOLEAN,
    default=True,
    help="Whether consuming as a new group creates it.",
    section="engine",
)
DEFAULT_QUEUES = Option(
    "defaultTopicQueueNums",
    kinds.integer(1, 1024),
    8,
    "The most queues that an automatically created topic gets.",
    "engine",
)
MAX_MESSAGE_SIZE = Option(
    "maxMessageSize", kinds.SIZE, 4 * 1024 * 1024, "The biggest message that is taken.", "engine", says_default="`4M`"
)
MESSAGE_DELAY_LEVELS = Option(
    "messageDelayLevel", kinds.DELAY_LEVELS, DELAY_LEVELS, "The delays that the levels 1, 2, 3, … stand for.", "engine"
)
MAX_FETCH_MESSAGES = Option(
    "maxTransferCountOnMessageInMemory", kinds.integer(1, 1024), 32, "The most messages that one pull gets.", "engine"
)
MAX_FETCH_BYTES = Option(
    "maxTransferBytesOnMessageInMemory", kinds.SIZE, 256 * 1024, "The most bytes that one pull gets.", "engine"
)
LONG_POLLING = Option(
    "longPollingEnable",
    kinds.BOOLEAN,
    default=True,
    help="Whether a pull waits for messages as long as its client says.",
    section="engine",
)

STORE_PATH = Option(
    "storePathRootDir",
    kinds.PATH,
    Path("mqguard-data"),
    "The data directory. Only one process uses it at a time.",
    "store",
    says_default="`mqguard-data` in the directory of the start",
    apache_default="`$HOME/store`",
)
FLUSH_DISK_TYPE = Option(
    "flushDiskType",
    kinds.choice("ASYNC_FLUSH", "SYNC_FLUSH"),
    "ASYNC_FLUSH",
    "When a message counts as stored: `ASYNC_FLUSH` survives the end of the process, `SYNC_FLUSH` that of the machine.",
    "store",
)
FILE_RESERVED_TIME = Option(
    "fileReservedTime", kinds.integer(1, 24 * 3650), 72, "How many hours a message is kept.", "store"
)
MAX_BYTES = Option(
    "maxStoreBytes",
    kinds.SIZE,
    0,
    "The oldest messages are deleted when more than this is kept; 0 sets no limit.",
    "store",
    ours=True,
)
DISK_FULL_RATIO = Option(
    "diskSpaceWarningLevelRatio",
    kinds.integer(10, 100),
    95,
    "How full the disk may be, in percent, before messages are refused.",
    "store",
    apache_default="`90`",
)

TLS_MODE = Option(
    "tls.server.mode",
    kinds.choice("disabled", "permissive", "enforcing"),
    "permissive",
    "Whether TLS is refused, possible beside plain connections on the same port, or the only way in.",
    "net",
)
TLS_CERTIFICATE = Option(
    "tls.server.certPath", kinds.OPTIONAL_PATH, None, "The certificate chain, PEM.", "net", says_default="none"
)
TLS_KEY = Option("tls.server.keyPath", kinds.OPTIONAL_PATH, None, "The private key, PEM.", "net", says_default="none")
TLS_KEY_PASSWORD: Option[Secret | None] = Option(
    "tls.server.keyPassword",
    kinds.SECRET,
    None,
    "What the private key is encrypted with.",
    "net",
    says_default="none",
    secret=True,
)
TLS_TRUST = Option(
    "tls.server.trustCertPath",
    kinds.OPTIONAL_PATH,
    None,
    "The certificates that clients' certificates must come from, PEM.",
    "net",
    says_default="none",
)
TLS_CLIENT_AUTH = Option(
    "tls.server.need.client.auth",
    kinds.choice("none", "optional", "require"),
    "none",
    "Whether clients show a certificate.",
    "net",
)
TLS_TEST_MODE = Option(
    "tls.test.mode.enable",
    kinds.BOOLEAN,
    default=True,
    help="Whether a throw-away certificate is made when none is given; otherwise there is no TLS without one.",
    section="net",
)
PROXY_PROTOCOL_PEERS = Option(
    "proxyProtocolPeers",
    kinds.NETWORKS,
    (),
    "The balancers whose PROXY protocol header is believed.",
    "net",
    says_default="none",
    apache_default="everybody's is believed",
    ours=True,
)
IDLE_SECONDS = Option(
    "serverChannelMaxIdleTimeSeconds",
    kinds.integer(1, 86_400),
    120,
    "How long a connection may be silent before it is closed.",
    "net",
)
MAX_CONNECTIONS = Option(
    "maxConnections",
    kinds.integer(1, 1_000_000),
    16_384,
    "How many connections a port serves at a time.",
    "net",
    ours=True,
)

AUDIT_PATH = Option(
    "auditPath",
    kinds.OPTIONAL_PATH,
    None,
    "The directory of the audit log.",
    "audit",
    says_default="`audit` in the data directory",
    ours=True,
)
AUDIT_WHEN_FULL = Option(
    "auditWhenFull",
    kinds.choice("drop", "refuse"),
    "drop",
    "What happens while the audit log cannot keep up: lines are dropped and counted, or requests are refused.",
    "audit",
    ours=True,
)
AUDIT_MAX_FILE = Option(
    "auditMaxFileSize", kinds.SIZE, 128 << 20, "How big an audit file grows before a new one.", "audit", ours=True
)
AUDIT_FILES = Option(
    "auditMaxFiles", kinds.integer(1, 1000), 10, "How many audit files of each form are kept.", "audit", ours=True
)
AUDIT_SINKS = Option(
    "auditSinks",
    kinds.PLUGINS,
    (),
    "Plugins that get every audit record, beside the files.",
    "audit",
    says_default="none",
    ours=True,
)
LOG_JSON = Option(
    "logJson",
    kinds.BOOLEAN,
    default=False,
    help="Whether log lines on standard error are JSON objects.",
    section="audit",
    ours=True,
)
LOG_LEVEL = Option(
    "logLevel",
    kinds.choice("debug", "info", "warning", "error"),
    "info",
    "What is said on standard error.",
    "audit",
    ours=True,
)

OPTIONS: tuple[Option[Any], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Option))
"""All options, in the order of documentation."""

BY_NAME: dict[str, Option[Any]] = {option.name: option for option in OPTIONS}
"""Options by their key in `broker.conf`."""
