"""The page `getting-started.md` has the limits that the code enforces."""

from pathlib import Path

from mqguard.broker import group_offsets, throughput, unfinished_batches
from mqguard.broker.processors import clients as client_requests
from mqguard.broker.processors import offsets as offset_requests
from mqguard.broker.processors import pull, send
from mqguard.broker.settings import BrokerSettings
from mqguard.dispatch import open_requests, suspended
from mqguard.engine import batch_send, deferred_delivery, log, long_polls, lookup, offsets
from mqguard.engine import clients as live_clients
from mqguard.engine.filters import CHARS_PER_UNIT, MAX_EXPRESSION_CHARS
from mqguard.guard.requirements import body, clients, groups, pop, topics
from mqguard.net import connection_limits, scheduler, server
from mqguard.net.settings import NetSettings
from mqguard.remoting import body_limits
from mqguard.remoting.bodies import codec
from mqguard.remoting.codes import RequestCode, ResponseCode

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "getting-started.md").read_text()
MIB = 1024 * 1024


def rows() -> dict[str, list[str]]:
    """Return the cells under the heading by the first cell of their row."""
    part = PAGE.split("\n## Limits\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in cells[1:]}


def test_the_page_has_the_limits() -> None:
    net = NetSettings()
    anonymous, authenticated = body_limits.anonymous_limits(), body_limits.authenticated_limits()
    largest = body_limits.TABLE[RequestCode.REGISTER_BROKER]
    pulls = BrokerSettings().waiting_pulls
    assert {name: maximum for name, (maximum, _) in rows().items()} == {
        "a frame": f"{net.max_frame // MIB} MiB",
        "a header": (
            f"{authenticated.header // 1024} KiB and {authenticated.fields} fields; {anonymous.header // 1024} KiB and "
            f"{anonymous.fields} fields before the connection has authenticated"
        ),
        "a message": f"`maxMessageSize`, {net.max_message // MIB} MiB",
        "other bodies": (
            f"{body_limits.NO_BODY.authenticated // 1024} KiB to {largest.authenticated // MIB} MiB, by the code of the "
            f"request; {body_limits.NO_BODY.anonymous // 1024} KiB to {largest.anonymous // MIB} MiB before the connection "
            "has authenticated"
        ),
        "an incomplete frame": (
            f"{net.frame_seconds:g} s, at least {net.min_rate // 1024} KiB a second after the first "
            f"{net.rate_grace_seconds:g} s, and at most {net.stall_seconds:g} s without a byte; "
            f"{net.anonymous_stall_seconds:g} s before the connection has authenticated"
        ),
        "a connection that has sent no request": f"{net.silent_seconds:g} s",
        "requests that wait to be served": (
            f"{net.input_limit // MIB} MiB; {net.input_limit // server.USER_SHARE // MIB} MiB of one user; "
            f"{net.input_limit // server.ANONYMOUS_SHARE // MIB} MiB of all connections that have not authenticated, and "
            f"{net.input_limit // server.ADDRESS_SHARE // MIB} MiB of those of one address"
        ),
        "messages of a batch": f"{batch_send.MAX_BATCH:,}",
        "batches that are being stored": (
            f"{unfinished_batches.MAX_BYTES // MIB} MiB; if they are used up, a user below an even share still gets more"
        ),
        "keys of a message (`KEYS`)": f"{log.MAX_KEYS}",
        "messages that a query by key returns": f"{lookup.MAX_FOUND} messages, {lookup.MAX_FOUND_BYTES // MIB} MiB",
        "a filter, such as `TagA \\|\\| TagB`": f"{MAX_EXPRESSION_CHARS:,} characters",
        "all filters of a client together": (
            f"{client_requests.MAX_ALL_FILTERS_CHARS:,} characters, {client_requests.MAX_DISTINCT_FILTERS_CHARS:,} of different ones"
        ),
        "tags of a suspended pull": f"{pull.MAX_WAITING_WEIGHT:,}",
        "suspended pulls": f"{pulls:,}; {pulls // long_polls.CONNECTION_SHARE:,} of one connection",
        "topics that a group subscribes to": f"{client_requests.MAX_TOPICS:,}",
        "groups of a connection": f"{client_requests.MAX_GROUPS:,}",
        "subscriptions of all clients together": (
            f"{live_clients.MAX_UNITS:,} units of 150 bytes: four for a group of a client, one for a subscription, one more for "
            f"each {live_clients.BYTES_PER_UNIT} bytes of names and filters, for each further tag, and for each {CHARS_PER_UNIT} characters of an "
            "SQL92 expression"
        ),
        "requests that wait for a reply": f"{open_requests.MAX_OPEN:,}",
        "groups and subscriptions of one heartbeat": f"{clients.MAX_GROUPS} and {clients.MAX_SUBSCRIPTIONS:,}",
        "groups that one heartbeat creates": f"{client_requests.MAX_NEW_GROUPS}",
        "topics or groups that one request creates or changes (18, 225)": f"{groups.MAX_CONFIGS}",
        "messages given back (36) by a user": (
            f"{throughput.MAX_BURST_BYTES // MIB} MiB at once, {throughput.MAX_BYTES_PER_S // MIB} MiB a second; one message more in any case"
        ),
        "delayed and timed messages that are delivered": (
            f"{deferred_delivery.MAX_PER_TICK} and {deferred_delivery.MAX_BYTES_PER_TICK // MIB} MiB in 50 ms, {deferred_delivery.BYTES_PER_MS // 1024} MiB a "
            "second; one message more in any case"
        ),
        "offsets of all groups": f"{offsets.MAX_OFFSETS:,}",
        "queues to lock, and acknowledgements of a batch": f"{clients.MAX_QUEUES:,}",
        "a body that names groups and topics": (
            f"{body.MAX_BODY // 1024} KiB, of which {codec.MAX_LENIENT // 1024} KiB may be JSON that is not strict"
        ),
        "queues that one request reports on, resets or copies": (
            f"{group_offsets.MAX_QUEUES:,}, {offset_requests.MAX_RESET_QUEUES} and {offset_requests.MAX_COPIED_OFFSETS:,}"
        ),
        "a name in a heartbeat": f"{client_requests.MAX_NAME_CHARS} characters",
        "requests of a user that wait for [plugins](plugins.md)": f"{suspended.MAX_WAITING // suspended.USER_SHARE:,}",
        "connections that have not authenticated": (
            "half of `maxConnections`, and half of `maxConnectionsPerAddress` from one address"
        ),
        "connections of one user": (
            f"{connection_limits.RESERVED_PART - 1}/{connection_limits.RESERVED_PART} of `maxConnections`, and of "
            "`maxConnectionsPerAddress` from one address"
        ),
        "answers that a client does not read": f"{net.output_limit // MIB} MiB, for {net.slow_reader_seconds:g} s",
    }
    assert (topics.MAX_TOPICS, pop.MAX_ACKS) == (groups.MAX_CONFIGS, clients.MAX_QUEUES)
    anonymous_ms = f"{scheduler.ANONYMOUS_BUDGET_S * 1000:g} ms for all connections that have not authenticated"
    assert f"{scheduler.BUDGET_S * 1000:g} ms for users, and {anonymous_ms}" in PAGE
    assert f"A batch that takes longer than {send.FIRST_SLICE_S * 1000:g} ms" in PAGE
    assert rows()["batches that are being stored"][1].startswith(
        f"the request is refused with code {ResponseCode.SYSTEM_BUSY:d}"
    )
    assert rows()["messages of a batch"][1] == f"the request is refused with code {ResponseCode.MESSAGE_ILLEGAL:d}"
