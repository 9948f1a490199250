"""Options about who is let in, who may do what, and the plugins that are asked.

Names and meanings are Apache RocketMQ's (`AuthConfig` of release 5.5.0) where Apache has one.
"""

from mqguard.config import kinds
from mqguard.config.option import Option
from mqguard.config.secret import Credentials

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
    "How many users the stateful strategy caches for one connection; 16 at most. They end with the connection.",
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
