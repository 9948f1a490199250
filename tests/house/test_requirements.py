"""Every request code and every RPC has a row, and every served code is reachable for some user."""

import ast
from collections.abc import Iterator
from pathlib import Path

from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.guard.requirements.rpc import RPC_TABLE
from mqguard.remoting.codes import OwnCode, RequestCode

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "mqguard"

RPCS = {
    "QueryRoute",
    "Heartbeat",
    "SendMessage",
    "QueryAssignment",
    "ReceiveMessage",
    "AckMessage",
    "ForwardMessageToDeadLetterQueue",
    "PullMessage",
    "UpdateOffset",
    "GetOffset",
    "QueryOffset",
    "EndTransaction",
    "Telemetry",
    "NotifyClientTermination",
    "ChangeInvisibleDuration",
    "RecallMessage",
    "SyncLiteSubscription",
}
"""The RPCs of `apache.rocketmq.v2.MessagingService`."""

CODES: dict[str, type[RequestCode] | type[OwnCode]] = {"RequestCode": RequestCode, "OwnCode": OwnCode}

ASKS = {"require", "allows", "require_owner", "require_message", "require_put", "visible_topics"}
"""What a handler calls to ask about what a request touches."""


def served() -> Iterator[tuple[RequestCode | OwnCode, Path]]:
    """Every request code that a `handlers` method maps to a handler, and where."""
    for package in ("broker", "namesrv"):
        for path in sorted((SOURCE / package).rglob("*.py")):
            for method in ast.walk(ast.parse(path.read_text())):
                if isinstance(method, ast.FunctionDef) and method.name == "handlers":
                    yield from ((code, path) for code in _codes_in(method))


def _codes_in(method: ast.FunctionDef) -> Iterator[RequestCode | OwnCode]:
    for node in ast.walk(method):
        if isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Attribute) and isinstance(key.value, ast.Name) and key.value.id in CODES:
                    yield CODES[key.value.id][key.attr]


def test_every_request_code_has_a_row() -> None:
    """All 169 of Apache's and our own, and no row is for a code that does not exist."""
    assert set(TABLE) == {*RequestCode, *OwnCode}
    assert len(RequestCode) == 169
    assert all(code > 1_000_000 for code in OwnCode)


def test_every_rpc_has_a_row() -> None:
    """All of the service, and no row is for an RPC that does not exist."""
    assert set(RPC_TABLE) == RPCS


def test_no_code_that_is_served_counts_as_served_by_nobody() -> None:
    """Whoever serves a code gives it a row that says what it needs."""
    codes = {code for code, _ in served()}

    assert len(codes) > 60
    assert {code.name for code in codes if TABLE[code].level is RequirementLevel.NOT_SERVED} == set()


def test_what_reaches_more_than_it_names_is_asked_about_where_it_is_served() -> None:
    """A file that serves such a code asks the guard about what is touched."""
    silent = {
        f"{path.name}: {code.name}"
        for code, path in served()
        if (TABLE[code].touched or TABLE[code].unnamed) and not _asks(path)
    }

    assert silent == set()


def _asks(path: Path) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(
        (isinstance(call, ast.Attribute) and call.attr in ASKS) or (isinstance(call, ast.Name) and call.id in ASKS)
        for call in calls
    )
