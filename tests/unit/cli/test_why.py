"""`mqguard why` explains a denial from the audit log."""

import pytest

from mqguard.guard.audit_format import AuditLines
from tests.unit.cli.policy_run import run, run_json
from tests.unit.guard.world import World, signed


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    """Make sure that no server is reached, whatever runs on this machine."""
    monkeypatch.setenv("MQGUARD_NAMESRV", "127.0.0.1:1")


@pytest.fixture(name="data")
def a_data_directory(tmp_path):
    """Write the audit log of a server that denied a send, a wrong signature and a request for its configuration."""
    world = World()
    world.allow("alice", "Topic:orders*", "Pub")
    world.deny("alice", "Topic:orders-secret", "Pub", sources=("10.0.0.0/8",))
    world.admit(signed(310, b="orders"))
    for command in (signed(310, b="orders-secret"), signed(310, b="orders", secret="wrong"), signed(26)):
        world.refusal(command)
    directory = tmp_path / "audit"
    directory.mkdir()
    directory.joinpath("audit.jsonl").write_bytes(AuditLines().render(world.sink.records)[1])
    return tmp_path


def test_a_denied_send_is_explained(data, capsys):
    """The explanation has the user, resource, source, deciding entry, and a command for the smallest change."""
    code, out, err = run(capsys, "why", "d1", "--data", data)

    assert (code, err) == (0, "")
    request = "--user alice --action Pub --resource Topic:orders-secret --from 10.1.2.3"
    assert out.splitlines() == [
        "2023-11-14T22:13:20.000Z: request 310 SEND_MESSAGE_V2 of User:alice, authenticated by signature, from 10.1.2.3",
        "denied in authorization: denied",
        "  Deny: Pub on Topic:orders-secret",
        "    by the entry Deny Pub on Topic:orders-secret from 10.0.0.0/8",
        f"to reverse this decision: mqguard explain {request} --data {data}",
    ]


def test_denials_that_no_policy_can_reverse_are_explained(data, capsys):
    """They are a wrong signature and a code for Super users."""
    guess = run(capsys, "why", "d2", "--data", data)[1]
    reading = run(capsys, "why", "d3", "--log", data / "audit" / "audit.jsonl")[1]

    assert "of User:alice, not authenticated, from" in guess
    assert "\nto reverse this decision: correct the secret in the client's configuration\nif the client signs" in guess
    assert reading.endswith("to reverse this decision: send it as a Super user\n")


def test_a_peer_cannot_add_a_line_to_the_explanation(tmp_path, capsys):
    """Senders choose the names of topics."""
    world = World()
    world.allow("alice", "Topic:orders*", "Pub")
    refusal = world.refusal(signed(310, b="t\x1b[2J\nreason: allowed"))
    log = tmp_path / "audit.jsonl"
    log.write_bytes(AuditLines().render(world.sink.records)[1])

    out = run(capsys, "why", refusal.decision_id, "--log", log)[1]

    assert "\x1b" not in out
    assert "Topic:t\\x1b[2J\\nreason: allowed" in out
    assert "reason: allowed" not in out.splitlines()


def test_json_has_the_audit_record(data, capsys):
    """It is the record of the log, unchanged."""
    code, found = run_json(capsys, "why", "d1", "--data", data)

    assert code == 0
    assert (found["decision"], found["reason"], found["verdict"]) == ("d1", "denied", "deny")


def test_an_unknown_id_is_code_4(data, capsys):
    """The error names the searched files."""
    code, out, err = run(capsys, "why", "d9", "--data", data)

    assert (code, out) == (4, "")
    assert "decision `d9` was not found: " in err
    assert "not every broker could be asked: " in err


def test_no_server_is_asked_if_a_log_is_given(data, capsys):
    """A missing log is an error, and no other source is asked."""
    code, _, err = run(capsys, "why", "d1", "--log", data / "none.jsonl")

    assert code == 4
    assert err == f"mqguard: decision `d1` was not found: `{data / 'none.jsonl'}` does not exist\n"


@pytest.mark.parametrize(
    "told", ["d1", " d1\n", "[decision d1]", "no permission: User:alice has no permission [decision d1]"]
)
def test_the_id_may_be_given_within_the_message_of_the_denial(told, data, capsys):
    """Users copy the message from a client's log."""
    assert run_json(capsys, "why", told, "--data", data)[1]["decision"] == "d1"


@pytest.mark.parametrize("text", ["", "no permission", "../d1", "[decision ]", "d" * 65])
def test_an_invalid_id_is_code_2(text, data, capsys):
    """No server is asked for it."""
    code, _, err = run(capsys, "why", text, "--data", data)

    assert code == 2
    assert err.startswith(f"mqguard: `{text}` is not a decision id: copy it from `[decision ...]` in the error message")
