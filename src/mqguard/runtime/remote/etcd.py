"""etcd as the store of users and policies of a process, from its configuration."""

import re
import secrets
from pathlib import Path
from typing import Final

from mqguard.auth.seal import SealingKey
from mqguard.config import store_options
from mqguard.config.loader import Configuration
from mqguard.runtime.errors import StartFailed
from mqguard.store.metadata.etcd import EtcdMetadataStore
from mqguard.store.metadata.etcd_client import EtcdClient, EtcdSettings, EtcdTls, retry

START_S: Final = 30.0
"""Maximum seconds that a start waits for etcd."""
MEMBER_FILE: Final = "etcd-member"
"""File in the data directory with the name of this server in etcd."""
_MEMBER: Final = re.compile(r"[0-9a-f]{16}")


def etcd_settings(config: Configuration) -> EtcdSettings:
    """Return the settings of the connection.

    Raises:
        ConfigInvalid: They do not fit together.
    """
    endpoints = config.get(store_options.ETCD_ENDPOINTS).pairs
    if not endpoints:
        raise config.refusal(
            store_options.ETCD_ENDPOINTS, "users and policies are in etcd: name its members, such as `10.1.2.3:2379`"
        )
    user, password = config.get(store_options.ETCD_USER), config.get(store_options.ETCD_PASSWORD)
    if bool(user) is not (password is not None):
        raise config.refusal(
            store_options.ETCD_USER,
            f"give both `{store_options.ETCD_USER.name}` and `{store_options.ETCD_PASSWORD.name}`, or neither",
        )
    tls = EtcdTls(
        config.get(store_options.ETCD_TLS_CA),
        config.get(store_options.ETCD_TLS_CERT),
        config.get(store_options.ETCD_TLS_KEY),
    )
    if tls != EtcdTls() and not config.get(store_options.ETCD_TLS):
        raise config.refusal(
            store_options.ETCD_TLS, f"files for TLS to etcd are set: set `{store_options.ETCD_TLS.name} = true` too"
        )
    return EtcdSettings(
        endpoints,
        user,
        password,
        tls if config.get(store_options.ETCD_TLS) else None,
        config.get(store_options.ETCD_TIMEOUT) / 1000,
    )


def open_etcd(config: Configuration, data: Path, key: SealingKey) -> EtcdMetadataStore:
    """Open the store in etcd, and wait for it if it does not answer yet.

    Raises:
        ConfigInvalid: Its settings do not fit together.
        MetadataStoreFailed: It does not answer, or refuses, or is sealed with another key.
        StartFailed: The name of this server cannot be read or written.
    """
    client = EtcdClient(etcd_settings(config))
    try:
        member, prefix = _member(data / MEMBER_FILE), config.get(store_options.ETCD_PREFIX)
        return retry(lambda: EtcdMetadataStore(client, prefix, key, member), START_S)
    except BaseException:
        client.close()
        raise


def _member(path: Path) -> str:
    try:
        if path.exists():
            found = path.read_text().strip()
            if _MEMBER.fullmatch(found):
                return found
        made = secrets.token_hex(8)
        path.write_text(made + "\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise StartFailed(f"the file `{path}` cannot be read or written: {exc}") from None
    return made
