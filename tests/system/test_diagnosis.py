"""`mqguard doctor` and `mqguard denials` at a running server."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.fixtures.command import Run, run_as
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually


def test_the_doctor_says_what_the_client_reads_and_how_to_make_it_work(admin: Run, server: Server) -> None:
    assert admin("user", "create", "waiter", "--secret", "secret-of-waiter").code == 0
    assert admin("topic", "create", "care").code == 0
    assert admin("send", "care", "hello").code == 0
    waiter = run_as(server, "waiter", "secret-of-waiter")
    words = ("--user", "waiter", "--topic", "care", "--group", "ward", "--from", "127.0.0.1")

    before = admin("doctor", *words, "--json")
    (value,) = before.lines
    assert (before.code, value["allowed"]) == (1, False)
    steps = {step["step"]: step for step in value["steps"]}
    assert len(steps) == 10
    refused = waiter("receive", "care", "--group", "ward")
    assert steps["stored offset"]["message"] in refused.err
    assert admin("doctor", *words).out.count("DENIED") == 10

    for command in value["commands"]:
        assert admin(*shlex.split(command)[1:]).code == 0
    assert waiter("receive", "care", "--group", "ward").out == "hello\n"
    assert admin("doctor", *words).code == 0
    elsewhere = admin("doctor", "--user", "waiter", "--topic", "care", "--group", "ward", "--from", "192.0.2.1")
    assert elsewhere.code == 1


def test_the_doctor_sees_what_is_missing_besides_policies(admin: Run) -> None:
    assert admin("user", "create", "sender").code == 0
    absent = admin("doctor", "--user", "sender", "--topic", "absent-topic")
    assert absent.code == 1
    assert "the topic `absent-topic` does not exist at `broker-a`" in absent.out
    unknown = admin("doctor", "--user", "sende", "--topic", "absent-topic")
    assert "note: the user `sende` does not exist; nearest: `sender`" in unknown.out
    assert "mqguard user create sende" in unknown.out
    alone = admin("doctor", "--user", "sender")
    assert alone.code == 1
    assert "problem: `sender` is enabled but has no rights" in alone.out
    wrong = admin("doctor", "--user", "sender", "--topic", "a b")
    assert wrong.code == 2


def test_denials_are_counted_with_what_would_allow_them(admin: Run, server: Server) -> None:
    assert admin("user", "create", "pusher", "--secret", "secret-of-pusher").code == 0
    assert admin("topic", "create", "closed").code == 0
    pusher = run_as(server, "pusher", "secret-of-pusher")
    for _ in range(3):
        assert pusher("send", "closed", "x").code == 1
    data = ("--data", str(server.data))

    def sends() -> list[dict[str, object]]:
        (value,) = admin("denials", "--since", "1h", *data, "--json").lines
        return [one for one in value["denials"] if one["user"] == "pusher" and one["code"] == 310]

    # The count of alike denials is written some seconds after the first one.
    assert eventually(lambda: [one["count"] for one in sends()] == [3], seconds=30)
    (found,) = sends()
    assert (found["resource"], found["actions"], found["reason"], found["shadow"]) == (
        "Topic:closed",
        ["Pub"],
        "no-match",
        False,
    )
    (command,) = found["commands"]
    assert admin("why", str(found["decision"])).code == 0
    assert admin(*shlex.split(str(command))[1:]).code == 0
    assert pusher("send", "closed", "x").code == 0
    (found,) = sends()
    assert (found["remark"], found["commands"]) == ("allowed by now", [])
    text = admin("denials", *data)
    assert text.code == 1
    assert "to allow SEND_MESSAGE_V2 of pusher, Pub on Topic:closed:\n  allowed by now" in text.out


def test_denials_that_only_shadow_mode_allowed(tmp_path: Path) -> None:
    with Server(tmp_path / "server", settings={"authorizationEnforcement": "shadow"}) as own:
        admin = run_as(own, directory=tmp_path)
        assert admin("user", "create", "ghost", "--secret", "secret-of-ghost").code == 0
        assert admin("topic", "create", "watched").code == 0
        assert run_as(own, "ghost", "secret-of-ghost")("send", "watched", "x").code == 0
        shown = admin("denials", "--log", str(own.data / "audit" / "audit.jsonl"), "--json")
        (value,) = shown.lines
        assert (shown.code, {one["shadow"] for one in value["denials"]}) == (1, {True})
        assert "mqguard acl add User:ghost -r Topic:watched -a Pub" in str(value["denials"])


def test_without_an_audit_log_the_error_says_where_it_was_looked_for(admin: Run, tmp_path: Path) -> None:
    ended = admin("denials")
    assert ended.code == 3
    assert "there is no audit log at `mqguard-data/audit/audit.jsonl`" in ended.err
    assert "give `--log PATH`" in ended.err
