"""Options of authentication, authorization and their plugins.

Names and meanings are Apache RocketMQ's (`AuthConfig` of release 5.5.0) if Apache has the option.
"""

from mqguard.config import option
from mqguard.config.option import Option
from mqguard.config.secret import Credentials

_AUTHENTICATION = "org.apache.rocketmq.auth.authentication."
_AUTHORIZATION = "org.apache.rocketmq.auth.authorization."
_PROXY = "org.apache.rocketmq.proxy.auth."

_EACH = "`stateless`: every request is checked; `stateful`: a verdict is kept until users or policies change."

SIGNATURE_MAX_AGE = Option(
    "signatureMaxAge",
    option.integer(0, 2**31 - 1),
    86_400,
    "Maximum seconds between the date that a gRPC client has signed and the server's clock; 0 accepts every date. "
    "14 hours are added if the date may be a local time, as that of most clients.",
    "auth",
    ours=True,
)
AUTHENTICATION_ENABLED = Option(
    "authenticationEnabled",
    option.BOOLEAN,
    default=True,
    help="True if every request must be signed by a known user.",
    section="auth",
    apache_default="`false`",
)
AUTHENTICATION_PROVIDER = Option(
    "authenticationProvider",
    option.plugin({_AUTHENTICATION + "provider.DefaultAuthenticationProvider": "default"}),
    "default",
    "The provider that authenticates requests.",
    "auth",
)
AUTHENTICATION_METADATA_PROVIDER = Option(
    "authenticationMetadataProvider",
    option.plugin(
        {
            _AUTHENTICATION + "provider.LocalAuthenticationMetadataProvider": "local",
            _PROXY + "ProxyAuthenticationMetadataProvider": "brokers",
        },
        ("etcd",),
    ),
    "local",
    "The store of users: `local` is the data directory, `etcd` is shared by any number of servers, `brokers` are the "
    "brokers behind `mqguard proxy` (see shared-policies.md).",
    "auth",
    apache_default="none: no user is known",
)
AUTHENTICATION_STRATEGY = Option(
    "authenticationStrategy",
    option.plugin(
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
    option.REQUESTS,
    frozenset(),
    "Requests that need no signature, by code (`105`) or name (`GET_ROUTEINFO_BY_TOPIC`).",
    "auth",
    says_default="none",
)
INIT_AUTHENTICATION_USER: Option[Credentials | None] = Option(
    "initAuthenticationUser",
    option.USER_CREDENTIALS,
    None,
    "A super user that is created at start unless a user of its name exists.",
    "auth",
    says_default="none; on the first start a super user `admin` with a random secret",
    apache_default="none",
    secret=True,
)
INNER_CLIENT_CREDENTIALS: Option[Credentials | None] = Option(
    "innerClientAuthenticationCredentials",
    option.INNER_CREDENTIALS,
    None,
    "The credentials of brokers and proxies for their own requests; also a super user, created as the one above.",
    "auth",
    says_default="none",
    secret=True,
)
AUTHORIZATION_ENABLED = Option(
    "authorizationEnabled",
    option.BOOLEAN,
    default=True,
    help="True if every request must be allowed by a policy of its user.",
    section="auth",
    apache_default="`false`",
)
AUTHORIZATION_ENFORCEMENT = Option(
    "authorizationEnforcement",
    option.choice("enforce", "shadow"),
    "enforce",
    "`shadow` allows policy denials of authenticated users, and only records them (see access-control.md).",
    "auth",
    ours=True,
)
AUTHORIZATION_SHADOW_ANONYMOUS = Option(
    "authorizationShadowAnonymous",
    option.BOOLEAN,
    default=False,
    help="True if shadow mode also allows requests without valid credentials, and only records them.",
    section="auth",
    ours=True,
)
AUTHORIZATION_SHADOW_FOR = Option(
    "authorizationShadowFor",
    option.TEXT,
    "",
    "The part for which shadow mode applies although `authorizationEnforcement` is `enforce`, such as "
    "`User:alice, Listener:8081, From:10.0.0.0/8, User:bob & Topic:pay*` (see access-control.md).",
    "auth",
    says_default="none",
    ours=True,
)
AUTHORIZATION_ENFORCE_FOR = Option(
    "authorizationEnforceFor",
    option.TEXT,
    "",
    "The part for which policies are enforced although shadow mode includes it, in the same form.",
    "auth",
    says_default="none",
    ours=True,
)
AUTHORIZATION_PROVIDER = Option(
    "authorizationProvider",
    option.plugin({_AUTHORIZATION + "provider.DefaultAuthorizationProvider": "default"}),
    "default",
    "The provider that authorizes requests.",
    "auth",
)
AUTHORIZATION_METADATA_PROVIDER = Option(
    "authorizationMetadataProvider",
    option.plugin(
        {
            _AUTHORIZATION + "provider.LocalAuthorizationMetadataProvider": "local",
            _PROXY + "ProxyAuthorizationMetadataProvider": "brokers",
        },
        ("etcd",),
    ),
    "local",
    "The store of policies; always the same as `authenticationMetadataProvider`.",
    "auth",
    apache_default="none: nothing is allowed",
)
AUTHORIZATION_STRATEGY = Option(
    "authorizationStrategy",
    option.plugin(
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
    option.REQUESTS,
    frozenset(),
    "Requests that need no policy, by code (`105`) or name (`GET_ROUTEINFO_BY_TOPIC`).",
    "auth",
    says_default="none",
)
TRACE_TOPIC = Option(
    "msgTraceTopicName",
    option.NAME,
    "RMQ_SYS_TRACE_TOPIC",
    "The topic to which clients send traces. With `AccessChannel.CLOUD` they send them to `rmq_sys_TRACE_DATA_` and "
    "`regionId`.",
    "auth",
)
TRACE_TOPIC_OPEN = Option(
    "traceTopicOpen",
    option.BOOLEAN,
    default=True,
    help="True if any user may send traces unless a policy denies it.",
    section="auth",
    ours=True,
)
DEFAULT_ROUTE_OPEN = Option(
    "defaultRouteOpen",
    option.BOOLEAN,
    default=True,
    help="True if anybody may ask for the route of `TBW102`. It contains only the addresses that the brokers "
    "advertise. A producer with wrong credentials then reaches a broker, and its user reads the reason.",
    section="auth",
    ours=True,
)
TRUST_CLAIMED_USER = Option(
    "authorizationTrustsClaimedUser",
    option.BOOLEAN,
    default=False,
    help="Confirms authorization without authentication: policies apply to any name that a client claims.",
    section="auth",
    ours=True,
)
STATEFUL_ENTRIES = Option(
    "statefulAuthenticationCacheMaxNum",
    option.integer(1, 10_000_000),
    10_000,
    "Maximum number of users that the stateful strategy caches for one connection, at most 16.",
    "auth",
)
STATEFUL_SECONDS = Option(
    "statefulAuthenticationCacheExpiredSecond",
    option.integer(1, 86_400),
    60,
    "Time for which the stateful strategy caches a connection, in seconds.",
    "auth",
)
STATEFUL_RULINGS = Option(
    "statefulAuthorizationCacheMaxNum",
    option.integer(1, 10_000_000),
    10_000,
    "Maximum number of answers of an authorization plugin that the stateful strategy caches.",
    "auth",
)
STATEFUL_RULINGS_SECONDS = Option(
    "statefulAuthorizationCacheExpiredSecond",
    option.integer(1, 86_400),
    60,
    "Time for which it caches an answer of an authorization plugin, in seconds; policies of mqguard are never stale.",
    "auth",
)
AUTHENTICATION_HANDLERS = Option(
    "authenticationHandlers",
    option.PLUGINS,
    (),
    "Plugins that are called, in this order, after a client has authenticated.",
    "auth",
    says_default="none",
    ours=True,
)
AUTHORIZATION_HANDLERS = Option(
    "authorizationHandlers",
    option.PLUGINS,
    (),
    "Plugins that are called, in this order, after policies have allowed a request.",
    "auth",
    says_default="none",
    ours=True,
)
PLUGIN_TIMEOUT = Option(
    "pluginTimeoutMs",
    option.integer(1, 60_000),
    1_000,
    "Maximum time for all plugins of a request, in milliseconds; then it is denied.",
    "auth",
    ours=True,
)
PLUGIN_THREADS = Option(
    "pluginThreads",
    option.integer(1, 256),
    8,
    "The maximum number of concurrent calls of a plugin that may block.",
    "auth",
    ours=True,
)
MIGRATE_V1 = Option(
    "migrateAuthFromV1Enabled",
    option.BOOLEAN,
    default=False,
    help="True if a start migrates users from the files of ACL 1.0; see `mqguard migrate` for a dry run.",
    section="auth",
)
ROCKETMQ_HOME = Option(
    "rocketmqHome",
    option.OPTIONAL_PATH,
    None,
    "The directory with `conf/acl` and `conf/plain_acl.yml` of ACL 1.0.",
    "auth",
    says_default="the environment variable `ROCKETMQ_HOME`",
)
SECRET_EXPOSURE = Option(
    "secretExposure",
    option.choice("sealed", "masked", "plain"),
    "sealed",
    "The form of secrets in answers to administrators: encrypted so that a copy of the user works, hidden, or clear.",
    "auth",
    apache_default="`plain`, always",
    ours=True,
)
