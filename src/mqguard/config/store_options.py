"""Options of stores of users and policies in the network."""

from mqguard.auth.user import Secret
from mqguard.config import option
from mqguard.config.errors import ValueInvalid
from mqguard.config.option import Addresses, Kind, Option


def _prefix(text: str) -> str:
    if len(text) > 1 and text.startswith("/") and text.endswith("/") and text.isascii() and text.isprintable():
        return text
    raise ValueInvalid("write a prefix that begins and ends with `/`, such as `/mqguard/`")


PREFIX = Kind("prefix of keys, such as `/mqguard/`", _prefix)

REMOTE_ACCESS_MAX_AGE = Option(
    "remoteAccessMaxAgeSeconds",
    option.integer(2, 86_400),
    300,
    "The time for which requests are served while the store of users and policies in the network does not answer. "
    "Then all are refused.",
    "remote",
    ours=True,
)
REMOTE_ACCESS_INTERVAL = Option(
    "remoteAccessIntervalMs",
    option.integer(100, 60_000),
    1_000,
    "The time between two questions whether users and policies are up to date, in milliseconds. etcd also reports "
    "changes at once; changes that were made at a broker directly are found at this interval.",
    "remote",
    ours=True,
)
ETCD_ENDPOINTS = Option(
    "etcdEndpoints",
    option.ADDRESSES,
    Addresses(),
    "The members of etcd for `authenticationMetadataProvider = etcd`.",
    "remote",
    says_default="none",
    ours=True,
)
ETCD_PREFIX = Option("etcdPrefix", PREFIX, "/mqguard/", "The prefix of all keys in etcd.", "remote", ours=True)
ETCD_USER = Option(
    "etcdUser", option.TEXT, "", "The user of etcd.", "remote", says_default="none: without authentication", ours=True
)
ETCD_PASSWORD: Option[Secret | None] = Option(
    "etcdPassword", option.SECRET, None, "Its password.", "remote", says_default="none", secret=True, ours=True
)
ETCD_TLS = Option("etcdTls", option.BOOLEAN, default=False, help="True for TLS to etcd.", section="remote", ours=True)
ETCD_TLS_CA = Option(
    "etcdTlsCaPath",
    option.OPTIONAL_PATH,
    None,
    "The certificates that etcd's certificate is verified with.",
    "remote",
    says_default="those of the system",
    ours=True,
)
ETCD_TLS_CERT = Option(
    "etcdTlsCertPath",
    option.OPTIONAL_PATH,
    None,
    "The certificate that this server shows to etcd.",
    "remote",
    says_default="none",
    ours=True,
)
ETCD_TLS_KEY = Option(
    "etcdTlsKeyPath", option.OPTIONAL_PATH, None, "Its key.", "remote", says_default="none", ours=True
)
ETCD_TIMEOUT = Option(
    "etcdTimeoutMs",
    option.integer(100, 60_000),
    3_000,
    "The maximum time for one answer of a member of etcd, in milliseconds.",
    "remote",
    ours=True,
)
