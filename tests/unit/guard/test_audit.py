"""What goes on record, and the lines that it becomes."""

import json

import pytest

from mqguard.auth.action import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.audit import AuditTrail
from mqguard.guard.audit_lines import AuditLines, hash_of
from tests.unit.guard.world import PEER, Sink, World, signed

WHEN = "2023-11-15 06:13:20"
"""The still clock's time in GMT+8, where Apache keeps its audit log."""


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:orders*", "Pub", sources=("10.0.0.0/8",))
    return world


def lines_of(world):
    apache, objects = AuditLines().render(world.sink.records)
    return apache.decode().splitlines(), [json.loads(line) for line in objects.splitlines()]


def test_an_admission_in_apaches_words(world):
    """Authentication and authorization, as `auth_audit.log` has them, successes included."""
    command = signed(310, b="orders-1")
    world.admit(command)

    apache, _ = lines_of(world)

    shown = hash_of(command.ext["Signature"])
    assert apache == [
        f"{WHEN} DEBUG mqguard - [AUTHENTICATION] User:alice is authenticated success with Signature = {shown}.",
        f"{WHEN} DEBUG mqguard - [AUTHORIZATION] Subject = User:alice is Allow Action = Pub from sourceIp = 10.1.2.3 on resource = Topic:orders-1 for request = 310.",
    ]


def test_refusals_in_apaches_words(world):
    """A failed proof and a denied resource; several actions are named in one order."""
    world.refusal(signed(310, b="orders", secret="wrong"))
    world.refusal(signed(105, topic="other"))

    apache, _ = lines_of(world)

    assert apache[0].startswith(
        "2023-11-15 06:13:20 INFO mqguard - [AUTHENTICATION] User:alice is authenticated failed with Signature = sha256:"
    )
    assert apache[2] == (
        "2023-11-15 06:13:20 INFO mqguard - [AUTHORIZATION] Subject = User:alice is Deny Action = Pub,Sub,Get from "
        "sourceIp = 10.1.2.3 on resource = Topic:other for request = 105."
    )


def test_a_decision_as_json(world):
    """Who, where from, what, the verdict, the entry that decided, and how long it took."""
    world.admit(signed(310, b="orders-1"))
    refused = world.refusal(signed(310, b="other"))

    _, (let_in, denied) = lines_of(world)

    assert let_in == {
        "time": "2023-11-14T22:13:20.000Z",
        "event": "authorization",
        "verdict": "allow",
        "reason": "allowed",
        "user": "alice",
        "proven_by": "signature",
        "source": "10.1.2.3",
        "code": 310,
        "request": "SEND_MESSAGE_V2",
        "needs": [
            {
                "resource": "Topic:orders-1",
                "actions": ["Pub"],
                "verdict": "Allow",
                "decided_by": {
                    "resource": "Topic:orders*",
                    "actions": ["Pub"],
                    "sources": ["10.0.0.0/8"],
                    "decision": "Allow",
                },
            }
        ],
        "micros": 1,
    }
    assert denied["verdict"] == "deny"
    assert denied["reason"] == "no-match"
    assert denied["decision"] == refused.decision_id


def test_what_is_remembered_between_records_changes_no_line(world):
    """Rendering record by record with fresh memory gives the same bytes as one batch."""
    for _ in range(3):
        world.admit(signed(310, b="orders-1"))
        world.clock.ms += 1500
        world.refusal(signed(310, b="other"))
        world.admit(signed(310, b="orders-2"))
        world.deny("alice", "Topic:orders-2", "Sub")

    together = AuditLines().render(world.sink.records)

    apart = [AuditLines().render([record]) for record in world.sink.records]
    assert together == (b"".join(one for one, _ in apart), b"".join(other for _, other in apart))


def test_a_signature_is_never_on_record_whole(world):
    """Only a short hash that cannot be replayed."""
    good, bad = signed(310, b="orders"), signed(310, b="orders", secret="wrong")
    world.admit(good)
    world.refusal(bad)

    written = b"".join(AuditLines().render(world.sink.records)).decode()

    assert good.ext["Signature"] not in written
    assert bad.ext["Signature"] not in written
    assert len(hash_of(good.ext["Signature"])) < 20


@pytest.mark.parametrize("name", ["ali\nce", "ali\u2028ce", "\x1b[31m", "a\ud800"])
def test_a_name_cannot_forge_a_line(world, name):
    """Whatever a peer calls itself or its topic, a record stays one line."""
    world.refusal(signed(310, {"b": f"t{name}"}, user=name))

    apache, objects = AuditLines().render(world.sink.records)

    assert apache.count(b"\n") == len(apache.decode().splitlines()) == 1
    assert json.loads(objects)["user"].startswith(name[0])


def test_a_refusal_about_many_resources_is_on_record_in_parts(world):
    """Each part under the same id; the need that was not met is in the last."""
    world.allow("alice", "Topic:t*", "Create")
    names = [f"t{number}" for number in range(70)] + ["other", "never-judged"]
    body = json.dumps({"topicConfigList": [{"topicName": name} for name in names]}).encode()
    refused = world.refusal(signed(18, {}, body))

    _, parts = lines_of(world)

    assert [len(part["needs"]) for part in parts] == [32, 32, 8]
    assert {part["decision"] for part in parts} == {refused.decision_id}
    assert [need.get("verdict") for need in parts[2]["needs"]] == ["Allow"] * 6 + ["Deny", None]


def test_what_nobody_judged_does_not_fill_the_record(world):
    """Whoever may do nothing cannot push the records of others out of the log by naming very much."""
    body = json.dumps({"topicConfigList": [{"topicName": f"{number:0255}"} for number in range(9000)]}).encode()
    world.refusal(signed(18, {}, body))

    written = AuditLines().render(world.sink.records)

    assert sum(map(len, written)) < 5000
    assert len(json.loads(written[1])["needs"]) == 9


def test_what_is_missing_is_said():
    """Both files say how many records found no room."""
    apache, line = AuditLines().lost(7, 1_700_000_000_000)

    assert b"7 records are missing" in apache
    assert json.loads(line) == {"time": "2023-11-14T22:13:20.000Z", "event": "lost", "count": 7}


def test_a_change_of_users_is_on_record_without_secrets():
    """Who changed what; a value under a name that sounds secret only as changed."""
    sink = Sink()
    trail = AuditTrail(sink)

    trail.admin_change(
        when_ms=1_700_000_000_000,
        user="root",
        source=PEER.ip,
        operation="update-user",
        subject="User:alice",
        details={"password": "hunter2", "newSecretKey": "hunter3", "userStatus": "disable"},
    )

    _, line = AuditLines().render(sink.records)
    assert b"hunter" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.000Z",
        "event": "change",
        "user": "root",
        "source": "10.1.2.3",
        "operation": "update-user",
        "subject": "User:alice",
        "details": {"password": "changed", "newSecretKey": "changed", "userStatus": "disable"},
        "outcome": "done",
    }


def test_a_touched_resource_is_on_record(world):
    """What a handler asks about later has lines of its own."""
    world.allow("alice", "Topic:orders", "Get")
    access = world.admit(signed(33, offset="7"))
    access.require(ResourceType.TOPIC, "orders", Action.GET)

    apache, objects = lines_of(world)

    assert "on resource = Topic:orders for request = 33." in apache[-1]
    assert (objects[-1]["event"], objects[-1]["verdict"]) == ("touched", "allow")
