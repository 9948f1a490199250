"""The stores of users and policies in the network, from the configuration of a process."""

import logging
import re
import secrets
import time
from pathlib import Path
from typing import Final

from mqguard.admin.session import ConnectionOptions
from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.seal import SealingKey
from mqguard.config import access_options, server_options, store_options
from mqguard.config.loader import Configuration
from mqguard.runtime import settings
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.plugin_store import ChangeJournal
from mqguard.runtime.remote.brokers import BrokerMetadataStore
from mqguard.store.metadata.etcd import EtcdMetadataStore
from mqguard.store.metadata.etcd_client import EtcdClient, EtcdSettings, EtcdTls, retry

_LOG = logging.getLogger(__name__)

START_S: Final = 30.0
"""Maximum seconds that a start waits for the store."""
RETRY_S: Final = 0.5
"""Seconds between two attempts to read brokers."""
JOURNAL_FILE: Final = "access-changes.json"
"""File in the data directory with the audit records of changes that the audit log may not have."""
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
    """Open etcd, and wait for it if it does not answer yet.

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


def open_brokers(config: Configuration, data: Path) -> BrokerMetadataStore:
    """Open the brokers of the cluster as a store, and wait for them if they do not answer yet.

    Raises:
        ConfigInvalid: The credentials for the brokers are missing.
        MetadataStoreFailed: They do not answer, or refuse.
    """
    upstream = settings.upstream_settings(config)
    if upstream.credentials is None:
        raise config.refusal(
            access_options.INNER_CLIENT_CREDENTIALS,
            "the brokers keep users and policies: give the credentials of a Super user of all brokers",
        )
    options = ConnectionOptions(upstream.credentials, upstream.tls, upstream.answer_s)
    namesrv = str(config.get(server_options.NAMESRV_ADDR))
    store = BrokerMetadataStore(namesrv, options, ChangeJournal(data / JOURNAL_FILE))
    end, is_logged = time.monotonic() + START_S, False
    while True:
        try:
            store.confirm()
        except MetadataStoreFailed as exc:
            if time.monotonic() >= end:
                store.close()
                raise
            if not is_logged:
                _LOG.warning("%s: trying again for %d s", exc, START_S)
            is_logged = True
        else:
            return store
        time.sleep(RETRY_S)


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
