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

ASKS = {"require", "allows", "require_owner", "require_message", "require_put", "is_permitted", "visible_topics"}
"""Calls of a handler that check the objects that a request reaches."""


def served() -> Iterator[tuple[RequestCode | OwnCode, Path]]:
    """Yield every request code that a `handlers` method maps to a handler, with its file."""
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
    """All 169 codes of Apache and our own have a row, and no row has an unknown code."""
    assert set(TABLE) == {*RequestCode, *OwnCode}
    assert len(RequestCode) == 169
    assert all(code > 1_000_000 for code in OwnCode)


def test_every_rpc_has_a_row() -> None:
    """All RPCs of the service have a row, and no row has an unknown RPC."""
    assert set(RPC_TABLE) == RPCS


def test_no_served_code_is_marked_as_unserved() -> None:
    """The row of a served code states its required permissions."""
    codes = {code for code, _ in served()}

    assert len(codes) > 60
    assert {code.name for code in codes if TABLE[code].level is RequirementLevel.UNSERVED} == set()


def test_handlers_of_codes_that_reach_more_than_they_name_check_those_objects() -> None:
    """A file that serves such a code checks the objects that the request reaches."""
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
