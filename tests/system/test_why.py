"""`mqguard why` at a running server, from any other machine."""

from __future__ import annotations

from pathlib import Path

from tests.fixtures.command import run, run_as
from tests.fixtures.server import Server


def test_the_server_explains_a_decision_and_reports_an_unknown_id(server: Server, tmp_path: Path) -> None:
    """The sender gets an id and the administrator the explanation; other users get nothing."""
    elsewhere = str(tmp_path / "elsewhere")
    admin = run_as(server, MQGUARD_DATA=elsewhere)
    assert admin("user", "create", "whyer", "-p", "whyer-secret").code == 0
    user = run_as(server, "whyer", "whyer-secret", MQGUARD_DATA=elsewhere)
    refused = user("topic", "create", "whyer-topic")
    assert refused.code == 1
    decision = refused.err.rpartition("[decision ")[2].partition("]")[0]

    told = admin("why", decision)
    assert (told.code, told.err) == (0, "")
    assert "of User:whyer, authenticated by signature" in told.out
    assert "smallest change that reverses this decision:\n  add to User:whyer Custom: Allow" in told.out
    facts = admin("why", decision, "--json").lines[0]
    assert (facts["decision"], facts["explanation"]["decision"]) == (decision, "Deny")

    unknown = admin("why", "000000000000")
    assert (unknown.code, unknown.out) == (4, "")
    assert "decision `000000000000` was not found" in unknown.err
    denied = user("why", decision)
    assert (denied.code, denied.out) == (1, "")


def test_without_a_server_and_without_a_log(tmp_path: Path) -> None:
    """If no server can be reached, the error is that of the connection."""
    ended = run("why", "000000000000", "-n", "127.0.0.1:1", directory=tmp_path)

    assert (ended.code, ended.out) == (3, "")
