"""Users and policies over the wire."""

import json

import pytest

from mqguard.auth.acl_parser import EntryText, PolicyText, read_acl
from mqguard.auth.seal import MASK, transfer_keys
from mqguard.auth.user import Subject, UserStatus, UserType
from mqguard.dispatch.access_bodies import SecretExposure
from mqguard.dispatch.access_requests import AccessProcessor
from mqguard.dispatch.request import Request, RequestRefused
from mqguard.guard.admitted_request import AdmittedRequest, Identity
from mqguard.guard.audit import AdminChange
from mqguard.guard.object_authorization import AllowAll
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from tests.unit.broker.conftest import SECRET, House, acl, answer_to

POLICY = {
    "policies": [
        {
            "entries": [
                {
                    "actions": ["Pub", "Sub"],
                    "decision": "Allow",
                    "resource": "Topic:*",
                    "sourceIps": ["192.168.1.0/24"],
                },
                {
                    "actions": ["Pub", "Sub"],
                    "decision": "Allow",
                    "resource": "Group:*",
                    "sourceIps": ["192.168.1.0/24"],
                },
            ]
        }
    ],
    "subject": "User:alice",
}


def body(value):
    return json.dumps(value).encode()


def create(house, name="alice", password=SECRET, **more):
    return house.call(3001, {"username": name}, body({"username": name, "password": password, **more}))


def changes(house):
    return [record for record in house.sink.records if isinstance(record, AdminChange)]


def test_users_are_created_changed_and_deleted(house):
    assert create(house, userType="Normal").code == 0
    assert house.manager.get_user("alice").type is UserType.NORMAL
    assert create(house).remark == "The user is existed"
    assert house.call(3002, {"username": "alice"}, body({"userStatus": "disable"})).code == 0
    assert house.manager.get_user("alice").status is UserStatus.DISABLE
    assert house.call(3002, {"username": "alice"}, body({"password": "new secret"})).code == 0
    assert house.manager.get_user("alice").secrets[0].secret.reveal() == "new secret"
    assert house.call(3003, {"username": "alice"}).code == 0
    assert house.manager.get_user("alice") is None
    assert house.call(3003, {"username": "alice"}).code == 0


def test_a_change_is_in_force_for_the_next_request(house):
    send = {"a": "p", "b": "BenchmarkTest", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
    wire = house.connect("192.168.1.7")
    make = house.command(3001, {"username": "alice"}, body({"username": "alice", "password": SECRET}))
    grant = house.command(3006, {"subject": "User:alice"}, body(POLICY))
    first, second, third = (house.command(310, send, b"x", user="alice") for _ in range(3))
    revoke = house.command(3008, {"subject": "User:alice", "resource": "Topic:*"})
    house.give(wire, make, first, grant, second, revoke, third)
    answers = {frame.opaque: frame.code for frame in wire.frames}
    assert [answers[c.opaque] for c in (make, first, grant, second, revoke, third)] == [0, 16, 0, 0, 0, 16]


def test_a_user_is_returned_with_type_and_status():
    house = House(secret_exposure=SecretExposure.MASKED)
    create(house)
    shown = json.loads(house.call(3004, {"username": "alice"}).body)
    assert shown == {"username": "alice", "password": MASK, "userType": "Normal", "userStatus": "enable"}
    assert house.call(3004, {"username": "nobody"}).body == b""
    assert [u["username"] for u in json.loads(house.call(3005, {"filter": "li"}).body)] == ["alice"]
    assert house.call(3005, {"filter": "nobody"}).body == b""
    assert SECRET.encode() not in house.call(3005).body


def test_policies_are_created_changed_and_deleted(house):
    create(house)
    assert house.call(3006, {"subject": "User:alice"}, body(POLICY)).code == 0
    answer = house.call(3009, {"subject": "User:alice"})
    (shown,) = json.loads(answer.body)["policies"]
    assert shown["policyType"] == "Custom"
    assert shown["entries"][0] == {
        "resource": "Topic:*",
        "actions": ["Pub", "Sub"],
        "sourceIps": ["192.168.1.0/24"],
        "decision": "Allow",
    }
    deny = {
        "subject": "User:alice",
        "policies": [{"entries": [{"actions": ["Pub"], "decision": "Deny", "resource": "Topic:*"}]}],
    }
    assert house.call(3007, {"subject": "User:alice"}, body(deny)).code == 0
    (listed,) = json.loads(house.call(3010, {"subjectFilter": "alice", "resourceFilter": "Topic:*"}).body)
    assert [e["decision"] for e in listed["policies"][0]["entries"]] == ["Deny"]
    assert "sourceIps" not in listed["policies"][0]["entries"][0]
    assert house.call(3008, {"subject": "User:alice", "resource": "Topic:*"}).code == 0
    assert house.call(3010, {"resourceFilter": "Topic:*"}).body == b""
    assert house.call(3008, {"subject": "User:alice"}).code == 0
    assert house.call(3009, {"subject": "User:alice"}).body == b""


@pytest.mark.parametrize("resource", ["", " ", "Topic", "Topik:t", "Topic:a*b"])
def test_an_invalid_resource_never_deletes_all_policies(house, resource):
    create(house)
    house.call(3006, {"subject": "User:alice"}, body(POLICY))
    assert house.call(3008, {"subject": "User:alice", "resource": resource}).code != 0
    assert len(json.loads(house.call(3009, {"subject": "User:alice"}).body)["policies"][0]["entries"]) == 2


@pytest.mark.parametrize(
    ("code", "ext", "value", "answer", "hint"),
    [
        (3001, {}, {"password": "x"}, ResponseCode.INVALID_PARAMETER, "The username is blank"),
        (3001, {"username": "u"}, {"username": "u"}, ResponseCode.NO_PERMISSION, "password can not be blank"),
        (
            3001,
            {"username": "u"},
            {"username": "u", "password": "x", "userType": "Boss"},
            ResponseCode.INVALID_PARAMETER,
            "`Boss`",
        ),
        (
            3001,
            {"username": "u"},
            {"username": "u", "password": "x", "userStatus": "off"},
            ResponseCode.INVALID_PARAMETER,
            "`off`",
        ),
        (3001, {"username": "u"}, {"username": "u", "passwort": "x"}, ResponseCode.INVALID_PARAMETER, "passwort"),
        (3001, {"username": "u"}, None, ResponseCode.INVALID_PARAMETER, "body"),
        (3002, {"username": "nobody"}, {"password": "x"}, ResponseCode.NO_PERMISSION, "The user is not exist"),
        (3006, {"subject": "User:root"}, None, ResponseCode.INVALID_PARAMETER, "The body of acl is null"),
        (3006, {"subject": "User:root"}, {}, ResponseCode.NO_PERMISSION, "The policies is empty."),
        (3006, {}, POLICY, ResponseCode.NO_PERMISSION, "The subject of User:alice is not exist."),
        (3009, {"subject": "Group:g"}, None, ResponseCode.NO_PERMISSION, "The subject is null."),
    ],
)
def test_the_remark_of_a_refusal_has_the_reason(house, code, ext, value, answer, hint):
    got = house.call(code, ext, b"" if value is None else body(value))
    assert got.code == answer
    assert hint in got.remark
    assert "org.apache" not in got.remark
    assert "Traceback" not in got.remark


def test_the_guard_denies_users_who_may_not_administer(house):
    house.user("alice", ("Topic:*", "All"), ("Group:*", "All"))
    for code in range(3001, 3011):
        answer = house.call(code, {"username": "x", "subject": "User:alice"}, body({"password": "x"}), user="alice")
        assert answer.code == ResponseCode.NO_PERMISSION, code


def test_the_cluster_permission_does_not_make_super_users(house):
    house.user("clerk", ("Cluster:DefaultCluster", "Get,Update"))
    create(house)
    for code, ext, value in [
        (3001, {"username": "boss"}, {"username": "boss", "password": "x", "userType": "Super"}),
        (3002, {"username": "clerk"}, {"userType": "Super"}),
        (3002, {"username": "root"}, {"password": "x"}),
        (3003, {"username": "root"}, None),
        (3006, {"subject": "User:clerk"}, {**POLICY, "subject": "User:clerk"}),
        (3006, {"subject": "User:alice"}, POLICY),
    ]:
        answer = house.call(code, ext, b"" if value is None else body(value), user="clerk")
        assert answer.code == ResponseCode.NO_PERMISSION, (code, ext)
    assert house.call(3001, {"username": "new"}, body({"username": "new", "password": "x"}), user="clerk").code == 0
    assert house.call(3003, {"username": "new"}, user="clerk").code == 0


def test_the_last_super_user_cannot_be_removed(house):
    assert house.call(3003, {"username": "root"}).code == ResponseCode.NO_PERMISSION
    assert house.call(3002, {"username": "root"}, body({"userStatus": "disable"})).code == ResponseCode.NO_PERMISSION
    assert house.call(3005).code == 0


def test_a_mask_is_not_accepted_as_a_password(house):
    for answer in (create(house, password=MASK), house.call(3002, {"username": "root"}, body({"password": MASK}))):
        assert answer.code == ResponseCode.NO_PERMISSION
        assert "secretExposure = sealed" in answer.remark
    assert house.manager.get_user("alice") is None
    assert house.call(3005).code == 0


def test_a_copied_user_works_on_another_server():
    source, target = House(), House(sealing_key=bytes(range(32)))
    create(source, password="very secret")
    shown = json.loads(source.call(3004, {"username": "alice"}).body)
    assert shown["password"].startswith(MASK)
    assert "very secret" not in shown["password"]
    assert target.call(3001, {"username": "alice"}, body(shown)).code == 0
    assert target.manager.get_user("alice").secrets[0].secret.reveal() == "very secret"
    assert source.call(3002, {"username": "alice"}, body(shown)).code == 0
    assert source.manager.get_user("alice").secrets[0].secret.reveal() == "very secret"
    for name, password in [("alice2", shown["password"][:-4] + "AAAA"), ("mallory", shown["password"])]:
        refused = target.call(3001, {"username": name}, body({"username": name, "password": password}))
        assert refused.code == ResponseCode.INVALID_PARAMETER
        assert "sealed" in refused.remark
        assert target.manager.get_user(name) is None


def test_a_secret_sealed_with_an_unknown_key_is_refused():
    source, target = House(), House()
    create(source)
    shown = json.loads(source.call(3004, {"username": "alice"}).body)
    target.manager.update_user("root", "another secret")
    target.manager.create_user("other", SECRET, UserType.SUPER)
    refused = target.call(3001, {"username": "alice"}, body(shown), user="other")
    assert refused.code == ResponseCode.INVALID_PARAMETER
    assert "key that this server does not have" in refused.remark


def test_a_normal_user_copies_sealed_secrets_between_servers_with_one_key():
    rights = [("Cluster:DefaultCluster", "Get,Update")]
    source, same, other = House(), House(), House(sealing_key=bytes(range(32)))
    for house in (source, same, other):
        house.user("clerk", *rights)
    create(source)
    shown = json.loads(source.call(3004, {"username": "alice"}, user="clerk").body)
    clerk = source.manager.get_user("clerk")
    assert not any(key.made(shown["password"].removeprefix(MASK)) for key in transfer_keys(clerk))
    assert same.call(3001, {"username": "alice"}, body(shown), user="clerk").code == 0
    assert same.manager.get_user("alice").secrets[0].secret.reveal() == SECRET
    refused = other.call(3001, {"username": "alice"}, body(shown), user="clerk")
    assert refused.code == ResponseCode.INVALID_PARAMETER


def test_a_secret_is_masked_without_a_sealing_key(open_house):
    house = House(auth=False, sealing_key=None)
    house.call(3001, {"username": "u"}, body({"username": "u", "password": "very secret"}), user=None)
    assert json.loads(house.call(3004, {"username": "u"}, user=None).body)["password"] == MASK


def test_cleartext_secrets_are_returned_if_the_operator_permits_it():
    house = House(secret_exposure=SecretExposure.PLAIN)
    create(house)
    assert json.loads(house.call(3004, {"username": "alice"}).body)["password"] == SECRET


def test_every_change_is_audited_without_secrets(house):
    house.user("clerk", ("Cluster:DefaultCluster", "Update"))
    create(house, password="very secret")
    house.call(3002, {"username": "alice"}, body({"password": "more secret", "userStatus": "disable"}))
    house.call(3006, {"subject": "User:alice"}, body(POLICY))
    house.call(3008, {"subject": "User:alice", "resource": "Topic:*"})
    house.call(3002, {"username": "root"}, body({"password": "stolen"}), user="clerk")
    house.call(3003, {"username": "alice"})
    said = [(change.user, change.operation, change.subject, change.outcome == "done") for change in changes(house)]
    assert said == [
        ("root", "create-user", "User:alice", True),
        ("root", "update-user", "User:alice", True),
        ("root", "create-acl", "User:alice", True),
        ("root", "delete-acl", "User:alice", True),
        ("clerk", "update-user", "User:root", False),
        ("root", "delete-user", "User:alice", True),
    ]
    assert changes(house)[2].details["Custom"].startswith("Allow Pub,Sub on Topic:* from 192.168.1.0/24")
    assert "secret" not in repr(changes(house)).replace("secret is replaced", "")
    assert "stolen" not in repr(changes(house))


def test_anonymous_requests_administer_only_without_authentication(open_house, house):
    assert (
        open_house.call(
            3001, {"username": "u"}, body({"username": "u", "password": "x", "userType": "Super"}), user=None
        ).code
        == 0
    )
    assert (
        house.call(3001, {"username": "u"}, body({"username": "u", "password": "x"}), user=None).code
        == ResponseCode.NO_PERMISSION
    )


def test_a_whitelisted_code_gives_no_super_rights():
    house = House(
        guard={"authentication_whitelist": frozenset({"3001"}), "authorization_whitelist": frozenset({"3001"})}
    )
    answer = house.call(
        3001, {"username": "boss"}, body({"username": "boss", "password": "x", "userType": "Super"}), user=None
    )
    assert answer.code == ResponseCode.NO_PERMISSION
    assert house.manager.get_user("boss") is None


def test_a_claimed_super_user_cannot_change_anything():
    guard = {"authentication_enabled": False, "authorization_enabled": True, "trust_claimed_user": True}
    house = House(auth=False, guard=guard)
    house.manager.create_acl(acl("root", ("Cluster:*", "All")))
    answer = house.call(3001, {"username": "boss"}, body({"username": "boss", "password": "x", "userType": "Super"}))
    assert answer.code == ResponseCode.NO_PERMISSION
    assert house.manager.get_user("boss") is None


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_claimed_name_changes_nothing_even_without_the_guard(house, user):
    administration = AccessProcessor(
        house.manager, house.audit, None, SecretExposure.SEALED, house.clock, anonymous_administers=False
    )
    wire = house.connect()
    command = Command(
        3001, ext={"username": "boss"}, body=body({"username": "boss", "password": "x", "userType": "Super"})
    )
    access = AdmittedRequest(Identity(user, "claim"), wire.peer, 3001, (), pending=False, authorizer=AllowAll())
    with pytest.raises(RequestRefused, match="is not authenticated"):
        administration.create_user(Request(command, wire, access))
    assert house.manager.get_user("boss") is None
    assert changes(house)[-1].outcome != "done"


MESSAGE = {"a": "forms", "b": "comments", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1790000000000", "h": "0"}
"""Fields of a message without properties, which is easier to cut anew than any that official clients send."""


def resplit(house, text, code, fields, body):
    """Replay the signature of a Super user's message as another request, whose fields and body make the same text."""
    house.engine.topics.put(TopicConfig("comments", 2, 2))
    house.engine.group_commit.commit()
    sent = house.command(310, {**MESSAGE, "j": "0", "k": "false", "m": "false"}, text.encode())
    honest = sent.ext
    signed = "".join(honest[name] for name in sorted(honest) if name != "Signature") + text
    ext = {name: honest[name] for name in ("AccessKey", "Signature")}
    rest = signed.removeprefix(honest["AccessKey"])
    assert rest.endswith(body)
    ext |= fields(rest.removesuffix(body))
    assert "".join(ext[name] for name in sorted(ext) if name != "Signature") + body == signed
    wire = house.connect()
    command = Command(code, sent.opaque, version=sent.version, ext=ext, body=body.encode())
    house.give(wire, command)
    return answer_to(wire, command)


USER_BODY = '{"username":"evil","password":"p","userType":"Super"}'
NAMELESS = '{"password":"p","userType":"Super"}'
ACL_BODY = (
    '{"subject":"User:alice","policies":[{"policyType":"Custom","entries":'
    '[{"resource":"*","actions":["All"],"decision":"Allow"}]}]}'
)
CHANGES_BODY = '{"putUsers":[{"username":"evil","password":"p","userType":"Super"}]}'


@pytest.mark.parametrize(
    ("text", "code", "fields", "sent"),
    [
        ("evil" + USER_BODY, 3001, lambda rest: {"padding": rest[:-4], "username": "evil"}, USER_BODY),
        ("evil" + USER_BODY, 3001, lambda rest: {"SecurityToken": rest[:-4], "username": "evil"}, USER_BODY),
        ("evil" + USER_BODY, 3001, lambda rest: {"__ZONE_NAME": rest[:-4], "username": "evil"}, USER_BODY),
        (USER_BODY, 3001, lambda rest: {"username": rest}, USER_BODY),
        (NAMELESS, 3001, lambda rest: {"username": rest}, NAMELESS),
        (ACL_BODY, 3006, lambda rest: {"subject": rest}, ACL_BODY),
        (ACL_BODY, 3007, lambda rest: {"subject": rest}, ACL_BODY),
        (CHANGES_BODY, 3007, lambda rest: {"mqguardChanges": rest}, CHANGES_BODY),
        ("1" + CHANGES_BODY, 3007, lambda rest: {"bname": rest[:-1], "mqguardChanges": "1"}, CHANGES_BODY),
        (
            "",
            3003,
            lambda _rest: {"username": "forms"},
            "comments" + "TBW102" + "400" + "1790000000000" + "00" + "falsefalse",
        ),
    ],
)
def test_the_signature_of_a_message_is_not_valid_for_another_request(house, text, code, fields, sent):
    """A signature covers values without their names, so the values of a message fit nowhere in these requests."""
    create(house)
    create(house, name="forms")
    before = house.manager.list_users(), house.manager.list_acls()
    assert resplit(house, text, code, fields, sent).code in {ResponseCode.INVALID_PARAMETER, ResponseCode.NO_PERMISSION}
    assert (house.manager.list_users(), house.manager.list_acls()) == before


def test_a_repeated_json_key_is_refused(house):
    """Two readers of one body must see the same body."""
    refused = house.call(3001, {"username": "u"}, b'{"username": "u", "password": "x", "password": "y"}')
    assert (refused.code, refused.remark) == (29, "body at `password`: is repeated: write it once")


def policy_from(*sources):
    entry = {"actions": ["Pub"], "decision": "Allow", "resource": "Topic:a", "sourceIps": list(sources)}
    return {"policies": [{"entries": [entry]}], "subject": "User:alice"}


@pytest.mark.parametrize("code", [3006, 3007])
@pytest.mark.parametrize(
    ("source", "right"),
    [
        ("10.66.0.1/8", "write `10.0.0.0/8` for the range, or `10.66.0.1` for the one address"),
        ("2001:db8::1/32", "write `2001:db8::/32` for the range"),
        ("0.0.0.0", "leave the source out for requests from anywhere, or write `0.0.0.0/0`"),
        ("::", "write `::/0` for every IPv6 address"),
        ("224.0.0.1", "write the address of one client"),
    ],
)
def test_a_source_that_misleads_is_refused_with_the_right_form(house, code, source, right):
    create(house)
    refused = house.call(code, {"subject": "User:alice"}, body(policy_from("10.0.0.1", source)))
    assert refused.code == ResponseCode.NO_PERMISSION
    assert refused.remark.startswith(f"The source ip is invalid. [`{source}` ")
    assert right in refused.remark
    assert house.manager.get_acl(Subject("alice")) is None


def test_a_stored_source_that_misleads_does_not_block_further_changes(house):
    """Apache RocketMQ accepts such sources, so stored policies may have them."""
    create(house)
    stored = read_acl(
        Subject("alice"), [PolicyText("Custom", [EntryText("Topic:a", ["Pub"], ["10.66.0.1/8"], "Allow")])]
    )
    house.manager.create_acl(stored)
    assert house.call(3007, {"subject": "User:alice"}, body(policy_from("10.66.0.1/8", "10.0.0.1"))).code == 0
    assert house.call(3007, {"subject": "User:alice"}, body(policy_from("10.66.0.1/8", "11.66.0.1/8"))).code != 0
