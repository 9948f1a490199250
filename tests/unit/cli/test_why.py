"""The story of a refusal, from the audit log."""

import pytest

from mqguard.guard.audit_format import AuditLines
from tests.unit.cli.policy_run import run, run_json
from tests.unit.guard.world import World, signed


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    """Nobody to ask, whatever runs on this machine."""
    monkeypatch.setenv("MQGUARD_NAMESRV", "127.0.0.1:1")


@pytest.fixture(name="data")
def a_data_directory(tmp_path):
    """The audit log of a server that refused a send, a guess and a reading of configuration."""
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


def test_a_denied_send(data, capsys):
    """Who, what, where from, the entry that decided, and where to look for what would turn it."""
    code, out, err = run(capsys, "why", "d1", "--data", data)

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2023-11-14T22:13:20.000Z: request 310 SEND_MESSAGE_V2 of User:alice, authenticated by signature, from 10.1.2.3",
        "denied in authorization: denied",
        "  Deny: Pub on Topic:orders-secret",
        "    by the entry Deny Pub on Topic:orders-secret from 10.0.0.0/8",
        "to reverse this decision: mqguard explain --user alice --action Pub --resource Topic:orders-secret --from 10.1.2.3",
    ]


def test_a_guess_and_a_code_for_super_users(data, capsys):
    """No policy turns these."""
    guess = run(capsys, "why", "d2", "--data", data)[1]
    reading = run(capsys, "why", "d3", "--log", data / "audit" / "audit.jsonl")[1]

    assert "of User:alice, not authenticated, from" in guess
    assert guess.endswith("to reverse this decision: correct the secret in the client's configuration\n")
    assert reading.endswith("to reverse this decision: send it as a Super user\n")


def test_a_peer_adds_no_line_to_the_story(tmp_path, capsys):
    """Topics are named by whoever sends."""
    world = World()
    world.allow("alice", "Topic:orders*", "Pub")
    refusal = world.refusal(signed(310, b="t\x1b[2J\nreason: allowed"))
    log = tmp_path / "audit.jsonl"
    log.write_bytes(AuditLines().render(world.sink.records)[1])

    out = run(capsys, "why", refusal.decision_id, "--log", log)[1]
    story = world.guard.refusals.find(refusal.decision_id).story()

    for told in (out, story):
        assert "\x1b" not in told
        assert "Topic:t\\x1b[2J\\nreason: allowed" in told
        assert "reason: allowed" not in told.splitlines()


def test_the_record_as_json(data, capsys):
    """As it stands in the log."""
    code, found = run_json(capsys, "why", "d1", "--data", data)

    assert code == 0
    assert (found["decision"], found["reason"], found["verdict"]) == ("d1", "denied", "deny")


def test_an_id_that_never_was(data, capsys):
    """Exit code 4 and where was looked."""
    code, out, err = run(capsys, "why", "d9", "--data", data)

    assert (code, out) == (4, "")
    assert "decision `d9` was not found: " in err
    assert "not every broker could be asked: " in err


def test_no_server_is_asked_where_a_log_is_named(data, capsys):
    """A log that is not there knows nothing; nobody else is asked."""
    code, _, err = run(capsys, "why", "d1", "--log", data / "none.jsonl")

    assert code == 4
    assert err == f"mqguard: decision `d1` was not found: `{data / 'none.jsonl'}` does not exist\n"


@pytest.mark.parametrize(
    "told", ["d1", " d1\n", "[decision d1]", "no permission: User:alice has no permission [decision d1]"]
)
def test_the_id_may_be_given_with_the_refusal_around_it(told, data, capsys):
    """As it is copied from a client's log."""
    assert run_json(capsys, "why", told, "--data", data)[1]["decision"] == "d1"


@pytest.mark.parametrize("text", ["", "no permission", "../d1", "[decision ]", "d" * 65])
def test_what_is_no_id_is_a_mistake(text, data, capsys):
    """Exit code 2, and nobody is asked."""
    code, _, err = run(capsys, "why", text, "--data", data)

    assert code == 2
    assert err.startswith(f"mqguard: `{text}` is not a decision id: copy it from `[decision ...]` in the error message")
