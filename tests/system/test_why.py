"""`mqguard why` at a running server, from any other machine."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.fixtures.command import CompletedCommand, Run, run, run_as
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


def test_the_suggested_commands_can_be_run_unchanged(admin: Run, server: Server) -> None:
    """A user who copies each suggestion ends with a consumer and a producer that work."""
    made = admin("user", "create", "copier", "--secret", "secret-of-copier")
    assert made.code == 0
    assert admin("topic", "create", "copied").code == 0
    copier = run_as(server, "copier", "secret-of-copier")
    for words in (("send", "copied", "hello"), ("receive", "copied", "--group", "copiers")):
        for _ in range(3):
            ended = copier(*words)
            if ended.code == 0:
                break
            reason = admin("why", _decision(ended), "-n", server.namesrv)
            assert "105" not in reason.out.splitlines()[0], "the route question before it is no answer"
            _, _, commands = reason.out.partition("to make this change, run:\n")
            for command in commands.splitlines():
                program, *rest = shlex.split(command)
                assert program == "mqguard"
                assert rest[-2:] == ["-n", server.namesrv]
                assert admin(*rest).code == 0
        assert ended.code == 0, words
    denied = admin("explain", "--user", "copier", "--action", "Delete", "--resource", "Topic:copied", "--json")
    assert denied.lines[0]["minimalChange"]["commands"] == ["mqguard acl add User:copier -r Topic:copied -a Delete"]


def test_a_wrong_signature_names_the_slips_of_hand_written_signing(admin: Run, server: Server) -> None:
    assert admin("user", "create", "scribe", "--secret", "secret-of-scribe").code == 0
    ended = run_as(server, "scribe", "another-secret")("send", "copied", "x")
    reason = admin("why", _decision(ended)).out
    assert "to reverse this decision: correct the secret in the client's configuration" in reason
    assert "sorted by name (upper case first)" in reason
    assert "a field that is added or changed after signing" in reason


def _decision(ended: CompletedCommand) -> str:
    return ended.err.rpartition("[decision ")[2].partition("]")[0]
