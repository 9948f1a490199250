"""Converts options to the settings of each part."""

import dataclasses
import datetime as dt
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mqguard.admin.backup import INCOMPLETE
from mqguard.broker.settings import BrokerSettings
from mqguard.config import access_options, grpc_options, server_options
from mqguard.config.errors import ConfigInvalid
from mqguard.config.loader import Configuration
from mqguard.config.option import Option
from mqguard.config.secret import weakness
from mqguard.dispatch.access_bodies import SecretExposure
from mqguard.engine.settings import EngineSettings
from mqguard.guard.errors import GuardMisconfigured
from mqguard.guard.settings import Enforcement, GuardSettings, Strategy, WhenAuditFull
from mqguard.management.settings import management_address, management_warnings
from mqguard.model.names import trace_topics
from mqguard.model.text import visible
from mqguard.net import tls
from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.settings import NetSettings, TlsMode, TlsSettings
from mqguard.net.upstream import UpstreamSettings
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.runtime.shadow_mode import scopes, shadow_warnings
from mqguard.store.sealing_key import pending_path

CERTIFICATE_DAYS = 30
"""Number of days before the end of a certificate at which warnings begin."""
MAX_MESSAGE_SIZE = 15 * 1024 * 1024
"""A frame has at most 16 MiB, also in Java clients, and contains a header besides the message."""
_LOOPBACK = ("127.", "localhost", "::1")
_ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
_VIP_DISTANCE = -2
"""Clients compute the port of the VIP channel from that of the route."""
_TLS_FILES = (server_options.TLS_CERTIFICATE, server_options.TLS_KEY, server_options.TLS_TRUST)
SEALING_KEY_FILE = "sealing.key"
"""File within the data directory: the key that seals the stored secrets."""
SEALING_KEY_VARIABLE = "MQGUARD_SEALING_KEY"
"""Environment variable that may have the sealing key instead of the file."""


def bind_address(config: Configuration) -> str:
    """Return the address to listen on: `bindAddress`, or all addresses if routes name one that is not loopback."""
    configured = config.get(server_options.BIND_ADDRESS)
    if configured:
        return configured
    reachable = config.get(server_options.BROKER_IP)
    if reachable.startswith(_LOOPBACK):
        return "::1" if ":" in reachable else "127.0.0.1"
    return "::" if ":" in reachable else "0.0.0.0"  # noqa: S104 - the operator names an address that others reach


def check(config: Configuration, *, needs_namesrv: bool = False) -> None:
    """Check everything of a configuration that can be checked before a start creates anything.

    Args:
        config: The configuration.
        needs_namesrv: True if the server registers with name servers in other processes.

    Raises:
        ConfigInvalid: Settings cannot be used; the error has all problems.
    """
    problems = list(config.problems)
    checks: list[Callable[[Configuration], object]] = [
        guard_settings, engine_settings, broker_settings, management_address, _check_listeners, _check_users,
        _check_data,
    ]  # fmt: skip
    if needs_namesrv:
        checks.append(upstream_settings)
    for one in checks:
        try:
            one(config)
        except ConfigInvalid as exc:
            # A malformed value was replaced by the default, so a problem that names its option may not be real.
            problems += [text for text in exc.problems if not any(name in text for name in config.malformed)]
    if problems:
        raise ConfigInvalid(*problems)


def vip_distance(config: Configuration) -> int | None:
    """Return the distance from the broker's port to that of the VIP channel, None if it is not served."""
    return _VIP_DISTANCE if config.get(server_options.VIP_CHANNEL) else None


def _check_listeners(config: Configuration) -> None:
    _check_vip_channel(config)
    resolve(config.get(server_options.BROKER_IP), config.source(server_options.BROKER_IP))
    try:
        tls.server_context(net_settings(config).tls)
    except NetSettingsInvalid as exc:
        place: Option[Any] = next((one for one in _TLS_FILES if config.is_set(one)), server_options.TLS_MODE)
        raise config.refusal(place, str(exc)) from None


def _check_vip_channel(config: Configuration) -> None:
    port = config.get(server_options.LISTEN_PORT)
    vip = port + _VIP_DISTANCE
    if port == 0 or not config.get(server_options.VIP_CHANNEL):
        return
    if vip < 1:
        raise config.refusal(
            server_options.LISTEN_PORT,
            "the VIP channel needs a port number that is two lower: use one from 3, or set `vipChannelEnable = false`",
        )
    if vip == config.get(server_options.NAMESRV_LISTEN_PORT):
        raise config.refusal(
            server_options.NAMESRV_LISTEN_PORT,
            f"the port {vip} is that of the VIP channel (two below `listenPort`): use another one, or set "
            "`vipChannelEnable = false`",
        )


def _check_users(config: Configuration) -> None:
    first, inner = access_options.INIT_AUTHENTICATION_USER, access_options.INNER_CLIENT_CREDENTIALS
    one, other = config.get(first), config.get(inner)
    if one is not None and other is not None and one.name == other.name and not one.secret.equals(other.secret):
        raise config.refusal(
            inner, f"the user `{visible(one.name)}` has another secret in `{first.name}`: write the same one in both"
        )
    if config.get(access_options.MIGRATE_V1):
        rocketmq_home(config)


def _check_data(config: Configuration) -> None:
    data = config.get(server_options.STORE_PATH)
    directories: tuple[Option[Any], ...] = (server_options.STORE_PATH, server_options.AUDIT_PATH)
    for option in directories:
        path = config.get(option)
        why = None if path is None else _unusable(path)
        if why is not None:
            raise config.refusal(option, f"the directory `{path}` cannot be used: {why}")
    if (data / INCOMPLETE).exists():
        raise ConfigInvalid(
            f"the directory `{data}` is an incomplete backup, it has the file `{INCOMPLETE}`: use another backup"
        )
    file = data / SEALING_KEY_FILE
    if SEALING_KEY_VARIABLE in os.environ or not (data / "access").exists():
        return
    if file.exists() or pending_path(file).exists():
        return
    raise ConfigInvalid(
        f"the data directory `{data}` has users and no `{SEALING_KEY_FILE}`: restore this file, or give the key in "
        f"{SEALING_KEY_VARIABLE}; a new key could not open the stored secrets (docs/getting-started.md)"
    )


def _unusable(path: Path) -> str | None:
    """Return the reason for which a directory cannot be created or written, None if it can."""
    path = path.absolute()
    found = next(one for one in (path, *path.parents) if one.exists())
    if not found.is_dir():
        return f"`{found}` is not a directory"
    return None if os.access(found, os.W_OK | os.X_OK) else f"this user may not write in `{found}`"


def rocketmq_home(config: Configuration) -> Path:
    """Return the directory with the files of ACL 1.0.

    Raises:
        ConfigInvalid: It is not set.
    """
    home = config.get(access_options.ROCKETMQ_HOME) or os.environ.get("ROCKETMQ_HOME")
    if not home:
        raise config.refusal(
            access_options.MIGRATE_V1,
            "`true` needs `rocketmqHome`, the directory with conf/acl or conf/plain_acl.yml",
        )
    return Path(home)


def certificate_warnings(config: Configuration, now: dt.datetime) -> list[str]:
    """Return a warning if the server's certificate has expired or expires soon.

    Args:
        config: The configuration.
        now: The date.
    """
    path = config.get(server_options.TLS_CERTIFICATE)
    if path is None:
        return []
    try:
        end = tls.certificate_end(str(path))
    except NetSettingsInvalid as exc:
        return [str(exc)]
    days = (end - now).days
    if days >= CERTIFICATE_DAYS:
        return []
    when = f"expires on {end:%Y-%m-%d}, in {days} days" if end > now else f"has expired on {end:%Y-%m-%d}"
    effect = "clients that check it cannot connect after that; replace the files and send SIGHUP"
    return [f"the certificate `{path}` {when}: {effect}"]


def startup_warnings(config: Configuration, *, registers: bool | None = False) -> list[str]:
    """Return warnings about settings that are valid and probably not intended.

    Args:
        config: The configuration.
        registers: True if the server registers with name servers in other processes, None if it only asks them.
    """
    host, reachable = bind_address(config), config.get(server_options.BROKER_IP)
    found = _registration_warnings(config, registers=registers)
    found += certificate_warnings(config, dt.datetime.now(dt.UTC))
    found += shadow_warnings(config)
    found += _weak_secrets(config)
    found += management_warnings(config)
    if reachable in _ALL_ADDRESSES:
        found.append(
            f"routes send clients to {reachable}, which is not the address of a machine: set brokerIP1 to an address "
            "that clients reach"
        )
    if host.startswith(_LOOPBACK):
        if not reachable.startswith(_LOOPBACK) and reachable not in _ALL_ADDRESSES:
            found.append(
                f"only this machine can connect, since mqguard listens on {host}, but routes send clients to "
                f"{reachable}: set bindAddress or brokerIP1"
            )
        return found
    if reachable not in _ALL_ADDRESSES and host not in _ALL_ADDRESSES and not reachable.startswith(_LOOPBACK):
        found += _other_address(config, host, reachable)
    if reachable.startswith(_LOOPBACK):
        found.append(
            f"clients on other machines can connect to {host}, but routes send them to {reachable}, their own machine: "
            "set brokerIP1"
        )
    if not config.get(access_options.AUTHENTICATION_ENABLED):
        found.append(
            f"authentication is disabled: every client that reaches {host} is served under any name that it claims"
        )
    if not config.get(access_options.AUTHORIZATION_ENABLED):
        found.append(f"authorization is disabled: every client that {host} accepts may do everything")
    return found


def _registration_warnings(config: Configuration, *, registers: bool | None) -> list[str]:
    addresses, inner = server_options.NAMESRV_ADDR, access_options.INNER_CLIENT_CREDENTIALS
    found = []
    if registers is False and config.is_set(addresses):
        found.append(
            f"{config.source(addresses)}: `{addresses.name} = {config.text(addresses)}` has no effect: this server has "
            "its own name server, and registers with no other name server; `mqguard broker` does"
        )
    if registers and config.get(addresses).pairs and config.get(inner) is None:
        found.append(
            f"`{inner.name}` is not set: the broker registers without a signature, and a name server of mqguard "
            "refuses this"
        )
    return found


def _other_address(config: Configuration, host: str, reachable: str) -> Iterator[str]:
    """Yield a warning if routes name another address than the one that mqguard listens on, as behind a NAT."""
    ip = resolve(reachable, config.source(server_options.BROKER_IP))
    if ip != resolve(host, config.source(server_options.BIND_ADDRESS)):
        yield (
            f"mqguard listens on {host} only, and routes send clients to {reachable}: this needs a forwarding of "
            "addresses; otherwise set brokerIP1 or bindAddress"
        )


def _weak_secrets(config: Configuration) -> Iterator[str]:
    for option in (access_options.INIT_AUTHENTICATION_USER, access_options.INNER_CLIENT_CREDENTIALS):
        found = config.get(option)
        weak = None if found is None else weakness(found.name, found.secret)
        if found is not None and weak is not None:
            yield f"{option.name} gives the Super user `{visible(found.name)}` a secret that is easy to guess: {weak}"


def resolve(host: str, source: str) -> str:
    """Return the IP address of a host, for fields that cannot contain a name, such as a message's id.

    Args:
        host: An address, or a name that the system can resolve.
        source: Source of the setting, for the error.

    Raises:
        ConfigInvalid: The name cannot be resolved.
    """
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        raise ConfigInvalid(
            f"{source}: brokerIP1: this machine cannot resolve the name `{host}`: write an IP address"
        ) from None


def guard_settings(config: Configuration) -> GuardSettings:
    """Return the guard's settings.

    Raises:
        ConfigInvalid: They would allow requests that they seem to deny.
    """
    get = config.get
    settings = GuardSettings(
        authentication_enabled=get(access_options.AUTHENTICATION_ENABLED),
        authorization_enabled=get(access_options.AUTHORIZATION_ENABLED),
        authentication_whitelist=get(access_options.AUTHENTICATION_WHITELIST),
        authorization_whitelist=get(access_options.AUTHORIZATION_WHITELIST),
        authentication_strategy=_strategy(get(access_options.AUTHENTICATION_STRATEGY)),
        authorization_strategy=_strategy(get(access_options.AUTHORIZATION_STRATEGY)),
        enforcement=Enforcement(get(access_options.AUTHORIZATION_ENFORCEMENT)),
        shadow_anonymous=get(access_options.AUTHORIZATION_SHADOW_ANONYMOUS),
        shadow_for=scopes(config, access_options.AUTHORIZATION_SHADOW_FOR),
        enforce_for=scopes(config, access_options.AUTHORIZATION_ENFORCE_FOR),
        trust_claimed_user=get(access_options.TRUST_CLAIMED_USER),
        cluster=get(server_options.CLUSTER_NAME),
        brokers=frozenset({get(server_options.BROKER_NAME)}),
        trace_topics=trace_topics(get(access_options.TRACE_TOPIC), get(server_options.REGION_ID)),
        trace_topic_open=get(access_options.TRACE_TOPIC_OPEN),
        default_route_open=get(access_options.DEFAULT_ROUTE_OPEN),
        processes=get(server_options.SHARED_ACCESS_PROCESSES),
        stateful_entries=get(access_options.STATEFUL_ENTRIES),
        stateful_ms=get(access_options.STATEFUL_SECONDS) * 1000,
        stateful_rulings=get(access_options.STATEFUL_RULINGS),
        stateful_rulings_ms=get(access_options.STATEFUL_RULINGS_SECONDS) * 1000,
        when_audit_full=WhenAuditFull(get(server_options.AUDIT_WHEN_FULL)),
    )
    try:
        settings.check()
    except GuardMisconfigured as exc:
        raise ConfigInvalid(f"{config.source(access_options.AUTHENTICATION_ENABLED)}: {exc}") from None
    return settings


def _strategy(word: str) -> Strategy:
    # Another name is a plugin: it selects from the cache of Stateful.
    return Strategy.STATELESS if word == "stateless" else Strategy.STATEFUL


def engine_settings(config: Configuration) -> EngineSettings:
    """Return the engine's settings.

    Raises:
        ConfigInvalid: The maximum size of messages is larger than a frame.
    """
    get = config.get
    if get(server_options.MAX_MESSAGE_SIZE) > MAX_MESSAGE_SIZE:
        raise config.refusal(
            server_options.MAX_MESSAGE_SIZE, "the maximum is `15M`, since a frame of the protocol has 16 MiB"
        )
    return EngineSettings(
        cluster=get(server_options.CLUSTER_NAME),
        broker=get(server_options.BROKER_NAME),
        address=get(server_options.BROKER_IP),
        port=get(server_options.LISTEN_PORT),
        region=get(server_options.REGION_ID),
        trace_on=get(server_options.TRACE_ON),
        permission=int(get(server_options.BROKER_PERMISSION)),
        auto_create_topic=get(server_options.AUTO_CREATE_TOPIC),
        auto_create_group=get(server_options.AUTO_CREATE_GROUP),
        property_filter=get(server_options.PROPERTY_FILTER),
        max_topics=get(server_options.MAX_TOPICS),
        max_topics_per_user=get(server_options.MAX_TOPICS_PER_USER),
        max_groups=get(server_options.MAX_GROUPS),
        max_groups_per_user=get(server_options.MAX_GROUPS_PER_USER),
        default_queues=get(server_options.DEFAULT_QUEUES),
        max_message_bytes=get(server_options.MAX_MESSAGE_SIZE),
        max_fetch_messages=get(server_options.MAX_FETCH_MESSAGES),
        max_fetch_bytes=get(server_options.MAX_FETCH_BYTES),
        max_in_flight=get(server_options.MAX_IN_FLIGHT),
        sync_flush=get(server_options.FLUSH_DISK_TYPE) == "SYNC_FLUSH",
        delay_levels=get(server_options.MESSAGE_DELAY_LEVELS),
        timer_max_seconds=get(server_options.TIMER_MAX_DELAY),
        timer_precision_ms=get(server_options.TIMER_PRECISION),
        recall=get(server_options.RECALL_MESSAGES),
        reserved_hours=get(server_options.FILE_RESERVED_TIME),
        max_bytes=get(server_options.MAX_BYTES),
        trace_topic=get(access_options.TRACE_TOPIC),
        trace_bytes=get(server_options.MAX_TRACE_BYTES),
        max_disk_ratio=get(server_options.DISK_FULL_RATIO) / 100,
        transaction_timeout_ms=get(server_options.TRANSACTION_TIMEOUT),
        transaction_check_max=get(server_options.TRANSACTION_CHECK_MAX),
        transaction_check_interval_ms=get(server_options.TRANSACTION_CHECK_INTERVAL),
        max_pending_transactions=get(server_options.MAX_PENDING_TRANSACTIONS),
        process=os.getpid(),
    )


def sync_interval_ms(config: Configuration) -> int | None:
    """Return the interval of background syncs of the message log, None if every commit is synced."""
    if config.get(server_options.FLUSH_DISK_TYPE) == "SYNC_FLUSH":
        return None
    return config.get(server_options.FLUSH_INTERVAL)


def broker_settings(config: Configuration) -> BrokerSettings:
    """Return the broker's settings; its address is set once its port is known.

    Raises:
        ConfigInvalid: It is configured as a slave.
    """
    get = config.get
    if get(server_options.BROKER_ID) != 0:
        raise config.refusal(server_options.BROKER_ID, "mqguard cannot be a slave: write 0, the id of a master")
    return BrokerSettings(
        cluster=get(server_options.CLUSTER_NAME),
        name=get(server_options.BROKER_NAME),
        broker_id=get(server_options.BROKER_ID),
        long_polling=get(server_options.LONG_POLLING),
        filter_support_retry=get(server_options.FILTER_SUPPORT_RETRY),
        request_mode=get(server_options.REQUEST_MODE),
        pop_share_queues=get(server_options.POP_SHARE_QUEUES),
        secret_exposure=SecretExposure(get(access_options.SECRET_EXPOSURE)),
        anonymous_administers=not get(access_options.AUTHENTICATION_ENABLED),
    )


def proxy_settings(config: Configuration) -> ProxySettings:
    """Return the settings of the face for gRPC clients."""
    return ProxySettings(
        min_polling_ms=config.get(grpc_options.MIN_POLLING),
        min_invisible_ms=config.get(grpc_options.MIN_INVISIBLE),
        default_invisible_ms=config.get(grpc_options.DEFAULT_INVISIBLE),
    )


def upstream_settings(config: Configuration) -> UpstreamSettings:
    """Return the settings of connections to name servers.

    Raises:
        ConfigInvalid: No name server is set, or a TLS file cannot be used.
    """
    option = server_options.NAMESRV_ADDR
    if not config.get(option).pairs and config.get(server_options.SHARED_ACCESS_PATH) is None:
        raise config.refusal(
            option, "write the addresses of name servers, such as `10.1.2.3:9876`; `mqguard standalone` needs none"
        )
    context = None
    if config.get(server_options.TLS_CLIENT):
        files = (server_options.TLS_CLIENT_TRUST, server_options.TLS_CLIENT_CERTIFICATE, server_options.TLS_CLIENT_KEY)
        try:
            context = tls.client_context(*(_text(config.get(file)) for file in files))
        except NetSettingsInvalid as exc:
            raise config.refusal(server_options.TLS_CLIENT, str(exc)) from None
    return UpstreamSettings(credentials=config.get(access_options.INNER_CLIENT_CREDENTIALS), tls=context)


def net_settings(config: Configuration) -> NetSettings:
    """Return the settings of a listener.

    Raises:
        ConfigInvalid: TLS is required and its files are not set.
    """
    return dataclasses.replace(
        NetSettings(),
        max_message=config.get(server_options.MAX_MESSAGE_SIZE),
        authentication=config.get(access_options.AUTHENTICATION_ENABLED),
        idle_seconds=float(config.get(server_options.IDLE_SECONDS)),
        max_connections=config.get(server_options.MAX_CONNECTIONS),
        max_connections_per_address=config.get(server_options.MAX_CONNECTIONS_PER_ADDRESS),
        proxy_protocol_peers=config.get(server_options.PROXY_PROTOCOL_PEERS),
        tls=_tls_settings(config),
    )


def _tls_settings(config: Configuration) -> TlsSettings:
    mode = TlsMode(config.get(server_options.TLS_MODE))
    certificate, key = config.get(server_options.TLS_CERTIFICATE), config.get(server_options.TLS_KEY)
    password = config.get(server_options.TLS_KEY_PASSWORD)
    if certificate is None and not config.get(server_options.TLS_TEST_MODE):
        if mode is TlsMode.ENFORCING:
            raise config.refusal(
                server_options.TLS_MODE, "`enforcing` needs `tls.server.certPath` and `tls.server.keyPath`"
            )
        mode = TlsMode.DISABLED
    client_auth = config.get(server_options.TLS_CLIENT_AUTH)
    if client_auth == "require" and mode is not TlsMode.ENFORCING:
        raise config.refusal(
            server_options.TLS_CLIENT_AUTH,
            f"`require` contradicts `tls.server.mode = {mode.value}`, which accepts plain "
            "connections without a certificate: set `tls.server.mode = enforcing`, or write `optional` here",
        )
    return TlsSettings(
        mode=mode,
        certificate=_text(certificate),
        key=_text(key),
        key_password=None if password is None else password.reveal(),
        client_ca=None if client_auth == "none" else _text(config.get(server_options.TLS_TRUST)),
        require_client_certificate=client_auth == "require",
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
