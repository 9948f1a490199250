"""Audit records and counts of every request, admitted or not."""

from mqguard.guard.audit import Stage
from mqguard.guard.settings import GuardSettings, WhenAuditFull
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, World, response_code, signed


def test_an_admission_is_audited(world):
    """With who, where from, what, why, the entry that decided and how long it took."""
    world.admit(signed(310, b="orders"))
    command = signed(310, b="orders")
    world.admit(command)

    record = world.sink.records[-1]
    assert (record.stage, record.user, record.method, record.source, record.operation.code) == (
        Stage.AUTHORIZATION,
        "alice",
        "signature",
        "10.1.2.3",
        310,
    )
    assert record.reason == "allowed"
    assert not record.refused
    assert record.verdicts[0].decided_by.resource.key == "Topic:orders"
    assert record.latency_ns == 1000
    assert record.signature == command.ext["Signature"]
    assert record.version == world.metadata.snapshot.version > 0
    assert record.when_ms == world.clock.now


def test_the_reason_of_an_admission_is_audited(world):
    """A Super user for being one, however clear its request is; who needs no right for being somebody."""
    world.allow("alice", "Group:g", "Sub")
    world.allow("alice", "Topic:orders", "Sub")
    for command, reason, judged in (
        (signed(310, b="orders", user="root"), "super", 1),
        (signed(25, user="root"), "super", 0),
        (signed(323, user="root"), "super", 0),
        (signed(323), "authenticated", 0),
        (signed(11, topic="orders", consumerGroup="g"), "allowed", 2),
    ):
        world.admit(command)
        record = world.sink.records[-1]
        assert (record.reason, len(record.verdicts), len(record.permissions)) == (reason, judged, judged)


def test_what_was_judged_until_a_refusal_is_audited(world):
    """Undecided permissions have no verdict."""
    world.allow("alice", "Topic:orders", "Sub")
    world.refusal(signed(11, topic="orders", consumerGroup="g"))
    record = world.sink.records[-1]

    assert [verdict.allowed for verdict in record.verdicts] == [True, False]
    world.refusal(signed(11, topic="other", consumerGroup="g"))
    assert [verdict.allowed for verdict in world.sink.records[-1].verdicts] == [False]
    assert len(world.sink.records[-1].permissions) == 2


def test_a_refusal_for_want_of_a_signature_has_none_audited(world):
    """Which is not the same as one that was not looked at."""
    world.refusal(Command(310, ext={"b": "orders", "AccessKey": "alice"}))

    assert world.sink.records[-1].signature == ""


def test_a_denial_is_audited_under_its_id(world):
    """The record has the id that the peer got."""
    refused = world.refusal(signed(310, b="other"))

    record = world.sink.records[-1]
    assert record.refused
    assert record.decision_id == refused.decision_id


def test_where_the_record_finds_no_room_requests_go_on_or_not():
    """`auditFull = drop` counts, `auditFull = refuse` refuses with a code that makes clients try again."""
    dropping = World(ON)
    dropping.sink.limit = 0
    dropping.admit(signed(310, b="x", user="root"))
    assert dropping.sink.rejected == 1

    refusing = World(
        GuardSettings(authentication_enabled=True, authorization_enabled=True, when_audit_full=WhenAuditFull.REFUSE)
    )
    refusing.admit(signed(310, b="x", user="root"))
    refusing.sink.limit = 0
    refused = refusing.refusal(signed(310, b="x", user="root"))
    assert response_code(refused) == 2
    assert "audit log has no room" in refused.message


def test_decisions_are_counted(world):
    """Admissions together, refusals by step and reason."""
    world.admit(signed(310, b="orders"))
    world.refusal(signed(310, b="other"))
    world.refusal(signed(310, b="orders", secret="wrong"))

    counted = {family.name: dict(family) for family in world.metrics}
    assert counted == {
        "mqguard_requests_admitted_total": {(): 1},
        "mqguard_requests_refused_total": {("authorization", "no-match"): 1, ("authentication", "wrong-signature"): 1},
        "mqguard_requests_shadowed_total": {},
    }
