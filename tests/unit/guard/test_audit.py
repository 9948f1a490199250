"""Audit records and their lines."""

import gc
import hashlib
import itertools
import json

import msgspec
import pytest

from mqguard.auth.policy import Action, Entry
from mqguard.auth.policy import Decision as Word
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.verdict import Reason, Verdict
from mqguard.guard.admitted_request import Identity
from mqguard.guard.audit import (
    MAX_NAMES,
    MAX_SIGNATURE,
    AdminChange,
    AuditEvent,
    AuditTrail,
    Stage,
    Stream,
    bounded,
    read_change,
)
from mqguard.guard.audit_format import AuditLines, StreamLines, hash_of
from mqguard.guard.denial_groups import ADDRESSES, USERS
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.request_context import Operation
from mqguard.guard.settings import GuardSettings, WhenAuditFull
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from tests.fixtures.sinks import RecordingSink
from tests.unit.guard.world import PEER, World, response_code, signed

WHEN = "2023-11-15 06:13:20"
"""The still clock's time in GMT+8, where Apache keeps its audit log."""

SEND = Operation(name="SEND_MESSAGE_V2", code=310)


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:orders*", "Pub", sources=("10.0.0.0/8",))
    return world


def change(**members):
    return AdminChange(
        **{
            "when_ms": 1_700_000_000_000,
            "user": "root",
            "source": "",
            "operation": "update-user",
            "subject": "User:alice",
            "details": {},
            "outcome": "done",
            **members,
        }
    )


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
    """A failed authentication and a denied resource; several actions are named in one order."""
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
    """The line has user, source, request, verdict, the entry that decided, and the duration."""
    world.admit(signed(310, b="orders-1"))
    refused = world.refusal(signed(310, b="other"))

    _, (let_in, denied) = lines_of(world)

    assert let_in == {
        "time": "2023-11-14T22:13:20.000Z",
        "event": "authorization",
        "verdict": "allow",
        "reason": "allowed",
        "user": "alice",
        "authenticated_by": "signature",
        "source": "10.1.2.3",
        "code": 310,
        "request": "SEND_MESSAGE_V2",
        "permissions": [
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


def test_what_is_cached_between_records_changes_no_line(world):
    """Rendering record by record with fresh memory gives the same bytes as one batch."""
    for _ in range(3):
        world.admit(signed(310, b="orders-1"))
        for user in ("alice", "root"):
            # The same connection and need, and neither is decided by an entry.
            world.admit(signed(310, b="RMQ_SYS_TRACE_TOPIC", user=user))
        world.clock.now += 1500
        world.refusal(signed(310, b="other"))
        world.admit(signed(310, b="orders-2"))
        world.deny("alice", "Topic:orders-2", "Sub")

    together = AuditLines().render(world.sink.records)

    apart = [AuditLines().render([record]) for record in world.sink.records]
    assert together == (b"".join(one for one, _ in apart), b"".join(other for _, other in apart))


def test_a_signature_is_never_audited_whole(world):
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


def test_a_refusal_about_many_resources_is_one_line(world):
    """The need that was not met is in it, wherever it was."""
    world.allow("alice", "Topic:t*", "Create")
    names = [f"t{number}" for number in range(100)] + ["other", "never-judged"]
    body = json.dumps({"topicConfigList": [{"topicName": name} for name in names]}).encode()
    refused = world.refusal(signed(18, {}, body))

    _, (line,) = lines_of(world)

    assert line["decision"] == refused.decision_id
    assert line["resources"] == 102
    assert [need["verdict"] for need in line["permissions"]] == ["Allow"] * 31 + ["Deny"]
    assert line["permissions"][-1]["resource"] == "Topic:other"


def test_an_admission_of_many_resources_is_one_line(world):
    world.allow("alice", "Topic:t*", "Create")
    names = [f"t{number:0250}" for number in range(120)]
    body = json.dumps({"topicConfigList": [{"topicName": name} for name in names]}).encode()
    world.admit(signed(18, {}, body))

    apache, objects = AuditLines().render(world.sink.records)

    assert json.loads(objects)["resources"] == 120
    assert len(json.loads(objects)["permissions"]) == MAX_NAMES // 251
    assert len(apache) + len(objects) < 20_000


def test_undecided_permissions_do_not_fill_the_record(world):
    """A user without rights cannot displace the records of others by naming many resources."""
    body = json.dumps({"topicConfigList": [{"topicName": f"{number:0255}"} for number in range(100)]}).encode()
    world.refusal(signed(18, {}, body))

    written = AuditLines().render(world.sink.records)

    assert sum(map(len, written)) < 5000
    assert len(json.loads(written[1])["permissions"]) == 9


def test_every_entry_that_decided_has_its_own_lines():
    """Records of the same user, needs and code that differ in one entry alone, whichever."""
    needs = tuple(RequiredPermission(ResourceType.TOPIC, name, frozenset({Action.PUB})) for name in ("t", "u"))
    entries = [Entry(Resource.parse(name), (Action.PUB,), (), Word.ALLOW) for name in ("Topic:*", "Topic:t", "*")]
    told = [Verdict(Word.ALLOW, Reason.ALLOWED, entry) for entry in entries]
    alice = Identity("alice", "signature")
    for count in (1, 2):
        asked = needs[:count]
        records = [
            AuditEvent(SEND, PEER.ip, 0, identity=alice, permissions=asked, verdicts=verdicts)
            for verdicts in itertools.product(told, repeat=count)
        ]
        together = AuditLines().render(records)[1].splitlines()

        assert together == [AuditLines().render([record])[1].rstrip() for record in records]
        assert len(set(together)) == len(records) == 3**count


def test_what_is_cached_between_records_is_bounded():
    """Peers may ask for as many different things as they like."""
    lines = AuditLines()
    lines.render([AuditEvent(Operation(name="", code=code), PEER.ip, 0) for code in range(4100)])

    assert 0 < max(len(kept) for kept in vars(lines).values() if isinstance(kept, dict)) <= 4096


def test_what_is_not_known_of_a_request_yet():
    """The event is anonymous, without a verdict and without a denial."""
    case = AuditEvent(SEND, PEER.ip, 0)

    assert (case.user, case.method, case.source, case.is_super, case.refused) == ("", "", "10.1.2.3", False, False)
    assert (case.signature, case.reason, case.decision_id, case.shadow) == (None, "", "", False)
    assert (case.version, case.when_ms, case.latency_ns, case.stage) == (0, 0, 0, Stage.AUTHORIZATION)


def test_the_steps_have_names_that_searches_are_built_on():
    assert [stage.value for stage in Stage] == ["authentication", "requirements", "authorization", "object", "guard"]


def test_a_code_without_a_name_is_audited(world):
    world.refusal(signed(4242))
    _, (line,) = lines_of(world)

    assert (line["code"], line["request"], line["event"], line["reason"]) == (
        4242,
        "unknown",
        "requirements",
        "unmapped-code",
    )


def test_who_shows_nothing_has_no_line_of_authentication(world):
    """Apache's log is about users; the JSON line is there all the same."""
    world.refusal(Command(310, ext={"b": "orders"}))
    apache, (line,) = lines_of(world)

    assert apache == []
    assert (line["user"], line["authenticated_by"], line["reason"]) == ("", "", "no-credentials")


@pytest.mark.parametrize("signature", ["", "AAAA", "é"])
def test_what_means_a_signature_is_of_its_sha256(signature):
    """Anybody can work it out from a signature that was received, whatever it was."""
    assert hash_of(signature) == f"sha256:{hashlib.sha256(signature.encode()).hexdigest()[:12]}"
    assert hash_of(signature) != hash_of("\ud800")


def test_what_is_missing_is_said():
    """Both files say how many records found no room."""
    apache, line = AuditLines().lost(7, 1_700_000_000_000)

    assert apache == f"{WHEN} WARN mqguard - [AUDIT] 7 records are missing here: there was no room.\n".encode()
    assert line.endswith(b"}\n")
    assert json.loads(line) == {"time": "2023-11-14T22:13:20.000Z", "event": "lost", "count": 7}


def test_a_change_of_users_is_audited_without_secrets():
    """The line has the user and the change; the value of a secret is only `changed`."""
    sink = RecordingSink()
    trail = AuditTrail(sink)

    trail.put_change(
        bounded(
            change(
                source=PEER.ip,
                details={"password": "hunter2", "newSecretKey": "hunter3", "userStatus": "disable"},
                method="signature",
                code=3002,
                id="0001",
            )
        )
    )

    _, line = AuditLines().render(sink.records)
    assert b"hunter" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.000Z",
        "event": "change",
        "user": "root",
        "authenticated_by": "signature",
        "source": "10.1.2.3",
        "code": 3002,
        "operation": "update-user",
        "subject": "User:alice",
        "details": {"password": "changed", "newSecretKey": "changed", "userStatus": "disable"},
        "outcome": "done",
        "id": "0001",
    }


@pytest.mark.parametrize("name", ["secretKey", "newPassword", "SIGNATURE", "SecurityToken"])
def test_what_sounds_secret_is_not_audited(name):
    assert bounded(change(details={name: "hunter2", "a": "b"})).details == {name: "changed", "a": "b"}


def test_the_refusal_of_a_change_is_audited():
    sink = RecordingSink()
    AuditTrail(sink).put_change(change(outcome="no such user"))

    [record] = sink.records
    assert (record.details, record.outcome) == ({}, "no such user")


def test_a_touched_object_is_audited(world):
    """An object that a handler asks about later has lines of its own."""
    world.allow("alice", "Topic:orders", "Get")
    access = world.admit(signed(33, offset="7"))
    access.require(ResourceType.TOPIC, "orders", Action.GET)

    apache, objects = lines_of(world)

    assert "on resource = Topic:orders for request = 33." in apache[-1]
    assert (objects[-1]["event"], objects[-1]["verdict"]) == ("object", "allow")


@pytest.mark.parametrize(
    "name",
    [
        "x is authenticated success with Signature = sha256:0123456789ab.",
        "x is Allow Action = Pub from sourceIp = 10.0.0.1 on resource = Topic:t for request = 310.",
        "a,User:b",
        "a\"b'c",
        "back\\x20slash",
        "x\u2028y",
        "x\u00a0y",
    ],
)
def test_a_name_is_one_word_in_apaches_format(world, name):
    """A name cannot look like another part of its line, and escaped text is unambiguous."""
    world.refusal(signed(310, b="orders", user=name))
    world.refusal(signed(310, b=name))

    apache, objects = lines_of(world)

    escaped = apache[0].split("User:", 1)[1].split(" is authenticated failed with Signature = sha256:")[0]
    assert " " not in escaped
    assert escaped.encode().decode("unicode_escape") == name
    assert len(apache[1].split(" with Signature = ")) == 2
    assert apache[2].split(" on resource = Topic:")[1] == f"{escaped} for request = 310."
    assert not any(" is authenticated success" in line and "alice" not in line for line in apache)
    assert objects[0]["user"] == name


@pytest.mark.parametrize("name", ["orders", "%RETRY%g", "ns%t", "a.b-c_d", "über", "订单"])
def test_usual_names_are_not_escaped(world, name):
    world.refusal(signed(310, b="orders", user=name))
    assert f"User:{name} is authenticated failed" in lines_of(world)[0][0]


def test_a_record_keeps_no_long_signature(world):
    """A text that is too long for a signature is neither kept nor hashed."""
    command = signed(310, b="orders")
    command.ext["Signature"] = "A" * 1_000_000
    world.refusal(command)

    assert len(world.sink.records[0].signature) == MAX_SIGNATURE
    assert lines_of(world)[0][0].endswith(f"{hash_of('A' * MAX_SIGNATURE)}.")


def test_a_record_holds_no_connection(world):
    """Nothing that the log keeps leads to the peer, whose connection may be long gone."""
    world.admit(signed(310, b="orders-1"))
    world.refusal(signed(310, b="other"))
    lines = AuditLines()
    lines.render(world.sink.records)

    seen, ahead = set(), [lines, world.audit, *world.sink.records]
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, type) or callable(one) or isinstance(one, RecordingSink):
            continue
        seen.add(id(one))
        assert not isinstance(one, Peer)
        assert not isinstance(one, Rights)
        ahead += gc.get_referents(one)
        if isinstance(one, msgspec.Struct):
            ahead += [getattr(one, name) for name in one.__struct_fields__]


def test_denials_that_are_alike_are_one_line_and_a_count(world):
    """All have one id; another version of the policies, user, code, resource or reason makes another line."""
    told = {world.refusal(signed(310, b="other")).decision_id for _ in range(5)}
    assert len(told) == 1
    world.user("bob")
    for command in (
        signed(310, b="other"),
        signed(310, b="third"),
        signed(10, topic="other"),
        signed(310, b="other", user="bob"),
        signed(310, b="other", secret="wrong"),
    ):
        assert world.refusal(command).decision_id not in told
    assert len(world.sink.records) == 6

    world.clock.now += 5_000
    world.audit.tick(world.clock.now)
    apache, objects = lines_of(world)
    assert objects[-1] == {
        **objects[0],
        "time": "2023-11-14T22:13:20.000Z",
        "count": 4,
        "first": "2023-11-14T22:13:20.000Z",
        "last": "2023-11-14T22:13:20.000Z",
    }
    assert apache[-1] == f"{apache[1]} This happened 4 more times since {WHEN}."


def test_denials_without_a_budget_are_counted_in_one_line(world):
    for number in range(300):
        world.refusal(signed(310, b=f"t{number}"))
    assert len(world.sink.records) == USERS.burst
    world.audit.close(world.clock.now)

    apache, objects = lines_of(world)
    assert objects[-1] == {
        "time": "2023-11-14T22:13:20.000Z",
        "event": "folded",
        "verdict": "deny",
        "reason": "",
        "user": "alice",
        "authenticated_by": "signature",
        "source": "10.1.2.3",
        "count": 300 - USERS.burst,
        "first": "2023-11-14T22:13:20.000Z",
        "last": "2023-11-14T22:13:20.000Z",
        "sources": ["10.1.2.3"],
        "codes": [310],
        "requests": ["SEND_MESSAGE_V2"],
        "reasons": ["no-match"],
        "denied": [f"Topic:t{number}" for number in range(USERS.burst, USERS.burst + 16)],
    }
    assert apache[-1] == (
        f"{WHEN} WARN mqguard - [AUDIT] 44 more requests of User:alice from sourceIp = 10.1.2.3 were denied since {WHEN} "
        "for request = 310, one line each would be too many."
    )


def test_what_goes_to_which_files(world):
    """Denials of users, changes and administrative requests are kept; admissions and strangers have files of theirs."""
    world.admit(signed(310, b="orders-1"))
    world.refusal(signed(310, b="other"))
    world.refusal(signed(310, b="orders-1", secret="wrong"))
    world.admit(signed(17, topic="t", user="root"))
    world.audit.put_change(change())

    lines = StreamLines().render(world.sink.records)
    codes = [[json.loads(line).get("code") for line in chunk.splitlines()] for chunk in lines[1::2]]
    assert codes == [[310, 17, 0], [310], [310]]
    reasons = [[json.loads(line).get("reason") for line in chunk.splitlines()] for chunk in lines[1::2]]
    assert reasons == [["no-match", "super", None], ["allowed"], ["wrong-signature"]]
    assert [chunk.count(b"AUTHORIZATION") for chunk in lines[::2]] == [1, 1, 0]
    assert StreamLines().lost(3, 0)[:2] == (b"", b"")
    assert StreamLines().lost(3, 0)[2:4] == AuditLines().lost(3, 0)


def test_administrative_requests_are_kept_while_their_user_has_a_budget(world):
    for _ in range(USERS.burst + 10):
        world.admit(signed(17, topic="t", user="root"))
    streams = [record.stream for record in world.sink.records]
    assert streams == [Stream.KEPT] * USERS.burst + [Stream.ADMITTED] * 10


def test_a_change_is_not_admitted_without_room_for_its_record(world):
    """Whatever the operator chose for other requests."""
    world.sink.limit = 0
    refused = world.refusal(signed(3001, username="x", user="root"))
    assert (response_code(refused), "audit log has no room" in refused.message) == (2, True)
    world.admit(signed(3005, user="root"))


def test_a_change_that_was_made_waits_for_room_and_no_other_is_admitted_before(world):
    made = change(id="c1")
    world.sink.limit = 0
    world.audit.put_change(made)
    world.sink.limit = 2
    world.refusal(signed(3001, username="x", user="root"))
    world.audit.tick(world.clock.now)
    assert world.sink.records[-1] is made


def test_a_denial_that_finds_no_room_is_counted(world):
    world.sink.limit = 0
    refused = world.refusal(signed(310, b="other"))
    assert world.refusal(signed(310, b="other")).decision_id == refused.decision_id
    world.sink.limit = 100
    world.clock.now += 5_000
    world.audit.tick(world.clock.now)
    (line,) = lines_of(world)[1]
    assert (line["decision"], line["count"]) == (refused.decision_id, 2)


def test_refusals_of_changes_are_counted_like_denials():
    sink = RecordingSink()
    trail = AuditTrail(sink)
    for number in range(1000):
        trail.put_change(change(outcome="The user is not exist", subject=f"User:{number % 500}"))
    assert len(sink.records) == USERS.burst
    trail.close(0)
    lines = [json.loads(line) for line in AuditLines().render(sink.records)[1].splitlines()]
    assert sum(line.get("count", 1) for line in lines) == 1000


def test_a_change_comes_back_from_its_stored_form():
    for name in ("alice", "\ud800", 'a\n"b'):
        made = change(subject=f"User:{name}", details={"1": name}, id="c1", code=3001, method="signature")
        assert read_change(made.encode()) == made
    for bad in (b"", b"{}", b"[1]", b'{"when_ms": "x"}'):
        with pytest.raises(ValueError):
            read_change(bad)


def test_what_is_recorded_of_a_change_is_bounded():
    many = bounded(change(details={str(number): "x" * 10_000 for number in range(5_000)}, subject="y" * 9_000))
    assert len(many.encode()) < 100_000
    assert many.details["..."] == f"{5_000 - len(many.details) + 1} more"
    assert bounded(change(details={"a": "b"})) == change(details={"a": "b"})


def test_what_a_whitelist_admits_is_with_the_strangers():
    """Unauthenticated peers cannot fill the files of authenticated users."""
    world = World(
        GuardSettings(
            authentication_enabled=True,
            authorization_enabled=True,
            authentication_whitelist=frozenset({"105"}),
            authorization_whitelist=frozenset({"105"}),
        )
    )
    world.admit(Command(105, ext={"topic": "t"}))
    world.admit(signed(105, topic="t"))
    assert [record.stream for record in world.sink.records] == [Stream.UNAUTHENTICATED, Stream.ADMITTED]

    off = World(GuardSettings())
    off.admit(Command(105, ext={"topic": "t"}))
    assert [record.stream for record in off.sink.records] == [Stream.ADMITTED]


def test_an_ipv6_network_has_one_budget(world):
    """One customer has as many addresses as it likes."""
    for number in range(ADDRESSES.burst + 100):
        peer = Peer(f"2001:db8::{number:x}", 1, PEER.channel)
        world.refusal(Command(310, ext={"b": "orders"}), peer)
    assert len(world.sink.records) == ADDRESSES.burst
    world.refusal(Command(310, ext={"b": "orders"}), Peer("2001:db8:0:1::1", 1, PEER.channel))
    world.refusal(Command(310, ext={"b": "orders"}), Peer("not an address", 1, PEER.channel))
    assert len(world.sink.records) == ADDRESSES.burst + 2


def test_a_line_of_json_has_no_invisible_character():
    """A mark of direction makes a terminal show another line than was written."""
    name = "a\u202eb\u2066c\u2028d\x85e\u200b\U000e0001f\N{SNOWMAN}"
    change = AdminChange(
        when_ms=0, user=name, source="", operation="o", subject=name, details={name: name}, outcome="done"
    )
    _, line = AuditLines().render([change])
    assert line.decode().removesuffix("\n").isprintable()
    assert "\N{SNOWMAN}" in line.decode()
    assert json.loads(line)["user"] == name


def test_public_requests_of_an_address_are_counted(world):
    """Peers without credentials cannot fill files: each line more would displace a denial of such a peer."""
    for number in range(500):
        world.admit(signed(105, user=f"guess-{number}", topic="TBW102"))
    assert len(world.sink.records) == 1
    world.clock.now += 5_000
    world.audit.tick(world.clock.now)
    apache, lines = lines_of(world)
    assert not apache
    assert [(line["verdict"], line["reason"], line["user"], line.get("count")) for line in lines] == [
        ("allow", "public", "", None),
        ("allow", "public", "", 499),
    ]


def test_public_requests_of_many_addresses_are_counted_together(world):
    """The lines of all addresses together are bounded, and no request is without a line or a count."""
    total = 2 * ADDRESSES.burst_of_all
    for number in range(total):
        peer = Peer(f"10.1.{number // 256}.{number % 256}", 1, Channel())
        world.admit(Command(105, ext={"topic": "TBW102"}), peer)
    assert len(world.sink.records) == ADDRESSES.burst_of_all + 1
    world.audit.close(world.clock.now)
    assert sum(line.get("count", 1) for line in lines_of(world)[1]) == total
    assert world.audit.summed == 0


def test_a_public_request_without_room_for_its_record_is_refused_as_set():
    world = World(
        GuardSettings(authentication_enabled=True, authorization_enabled=True, when_audit_full=WhenAuditFull.REFUSE)
    )
    world.sink.limit = 0
    assert "no room" in world.refusal(signed(105, user="x", topic="TBW102")).message
    world.sink.limit = 100
    world.admit(signed(105, user="x", topic="TBW102"))
