#!/usr/bin/env python3
"""Writes `docs/requirements.md`: what every request code and every RPC needs. A test fails when the page is stale.

Run it in the project's environment: `.venv/bin/python tools/requirements_doc.py`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mqguard.auth.policy import Action
from mqguard.guard.requirements import clients, groups, messages, operations, pop, topics
from mqguard.guard.requirements.row import Actions, Requirement, RequirementLevel, ResourceField, WhenAbsent
from mqguard.guard.requirements.rpc import RPC_TABLE
from mqguard.remoting.codes import CODE_NAMES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "requirements.md"

FAMILIES: tuple[tuple[str, Mapping[int, Requirement]], ...] = (
    ("Messages and positions", messages.ROWS),
    ("Clients", clients.ROWS),
    ("Topics", topics.ROWS),
    ("Groups", groups.ROWS),
    ("Pop and lite topics", pop.ROWS),
    ("Users and policies", operations.ACCESS),
    ("Brokers", operations.BROKER),
    ("mqguard's own", operations.OWN),
    ("Name servers", operations.NAME_SERVER),
    ("Controllers", operations.CONTROLLER),
    ("Served by nobody", operations.UNSERVED),
)

INTRODUCTION = """\
# What every request needs

<!-- made by tools/requirements_doc.py from src/mqguard/guard/requirements: do not edit -->

Every request is authenticated first; then everything in the column *needs* must be allowed by the policies of its
user, where one of several actions joined by "or" is enough. Super users need nothing, but must be enabled. A code or
RPC that is not on this page is refused to all but Super users.

- **A field that is needed and is absent, empty or blank refuses the request.** Where absence means something else,
  the column says so.
- **Retry and dead-letter topics belong to their group**: `%RETRY%g` and `%DLQ%g` stand for Group `g`, with Sub in
  place of Pub. A retry topic that is used together with a group must be that group's own; `%RETRY%g+t`, a retry topic
  of pop, stands for Group `g` and Topic `t`. `%LMQ%$p$l`, a lite queue, stands for Topic `p`. Each message in them
  also belongs to the topic that it came from: readers without a right there do not get it.
- **Topics that hold messages of all topics** (`SCHEDULE_TOPIC_XXXX`, the stores of half messages, the timer's) are
  read by Super users only.
- **Own cluster** is `Cluster:<brokerClusterName>`. Where a field names the cluster, it is that one.
- **When served**: the request reaches more than it names. What it touches is checked by its handler, and an answer of
  success does not leave before that has happened.
- **Producer groups are no resources**: whoever may Pub needs no other right to produce, and every Java client also
  names `CLIENT_INNER_PRODUCER`. What a producer group could reach is checked where it is reached: a transaction is
  asked back only from connections whose user may Pub on the message's topic, and a client id belongs to its user: two
  users may have the same one.

**What clients touch by themselves needs no grant**, unless a policy of the user speaks against it: the route (code
105) of `TBW102`, of the cluster's and the brokers' names, of `<cluster>_REPLY_TOPIC` and of the trace topic;
replying (324, 325) on `<cluster>_REPLY_TOPIC` to a request that the sender may read; and sending to the
trace topic (`RMQ_SYS_TRACE_TOPIC`, or `msgTraceTopicName`), which `traceTopicOpen = false` puts under policies like any
other. Reading traces needs Sub. Everything else about these topics needs rights as usual.

**Clients that never sign what they ask a name server** (the pull consumer and the admin client of `rocketmq-client-go`
2.1) are refused routes. Where they are in use, `authenticationWhitelist = 105` and `authorizationWhitelist = 105` open
routes to everybody who reaches the port, and nothing else; sending and pulling stay guarded.
"""

_ORDER = {action: place for place, action in enumerate(Action)}


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, rows in FAMILIES:
        parts.append(f"## {title}\n\n" + "\n".join(_table(rows)) + "\n")
    parts.append("## gRPC\n\n" + "\n".join(_rpc_table()) + "\n")
    return "\n".join(parts)


def _table(rows: Mapping[int, Requirement]) -> Iterator[str]:
    yield "| code | name | needs | when served | difference from Apache |"
    yield "|--:|---|---|---|---|"
    for code in sorted(rows):
        row = rows[code]
        name = CODE_NAMES[code] + (f" ({row.between})" if row.between else "")
        yield f"| {code} | {name} | {needs_in_words(row)} | {row.touched or row.unnamed} | {row.because} |"


def _rpc_table() -> Iterator[str]:
    yield "| RPC | needs | when served | difference from Apache |"
    yield "|---|---|---|---|"
    for rpc in sorted(RPC_TABLE):
        row = RPC_TABLE[rpc]
        yield f"| {rpc} | {row.says} | {row.touched} | {row.because} |"


def needs_in_words(row: Requirement) -> str:
    """What a row demands, in one cell."""
    if row.level is not RequirementLevel.RESOURCES:
        return row.level.value
    parts = [row.says] if row.says else [_named_in_words(named) for named in row.named]
    if row.own_cluster:
        parts.append(f"own cluster: {_actions_in_words(row.own_cluster)}")
    return "; ".join(parts)


def _named_in_words(named: ResourceField) -> str:
    kind = named.type.value
    many = f"each {kind}" if named.split else kind
    absent = {
        WhenAbsent.REFUSE: "",
        WhenAbsent.NARROWS: " where it is named",
        WhenAbsent.TOUCHED: " where it is named",
    }[named.absent]
    return f"{many} (`{named.field}`){absent}: {_actions_in_words(named.actions)}"


def _actions_in_words(actions: Actions) -> str:
    return " or ".join(action.value for action in sorted(actions, key=_ORDER.__getitem__))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
