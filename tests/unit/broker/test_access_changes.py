"""Several changes of users and policies as one request: all of them or none."""

import gc
import json

import pytest

from mqguard.auth.policy import PolicyType
from mqguard.auth.seal import MASK
from mqguard.auth.user import UserStatus, UserType
from mqguard.guard.audit import AdminChange
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import SECRET

ENTRY = {"resource": "Topic:t*", "actions": ["Pub"], "decision": "Allow"}


def acl(subject, *entries, kind="Custom"):
    return {"subject": subject, "policies": [{"policyType": kind, "entries": list(entries)}]}


def apply(house, user="root", **changes):
    return house.call(3007, {"mqguardChanges": "1"}, json.dumps(changes).encode(), user=user)


def test_all_changes_are_made_together(house):
    """Users and their policies in one request; policies take the place of those that were, and what is not said stays."""
    house.user("bob", ("Topic:old", "Sub"))
    house.user("gone", ("Topic:x", "Sub"))
    answer = apply(
        house,
        putUsers=[
            {"username": "alice", "password": "alice-secret"},
            {"username": "bob", "userStatus": "disable"},
        ],
        putAcls=[acl("User:alice", ENTRY), acl("User:bob", ENTRY, kind="Default")],
        deleteUsers=["gone"],
    )

    assert answer.code == ResponseCode.SUCCESS
    snapshot = house.manager.snapshot
    assert snapshot.user("alice").secrets[0].secret.reveal() == "alice-secret"
    assert (snapshot.user("alice").type, snapshot.user("alice").status) == (UserType.NORMAL, UserStatus.ENABLE)
    assert snapshot.user("bob").secrets[0].secret.reveal() == SECRET
    assert snapshot.user("bob").status is UserStatus.DISABLE
    assert snapshot.acl("bob").entries(PolicyType.CUSTOM) == ()
    assert [entry.resource.key for entry in snapshot.acl("bob").entries(PolicyType.DEFAULT)] == ["Topic:t*"]
    assert snapshot.user("gone") is None
    assert snapshot.acl("gone") is None


def test_policies_are_deleted_without_their_user(house):
    """A subject keeps its user."""
    house.user("bob", ("Topic:old", "Sub"))

    assert apply(house, deleteAcls=["User:bob"]).code == 0
    assert house.manager.snapshot.acl("bob") is None
    assert house.manager.snapshot.user("bob") is not None


@pytest.mark.parametrize(
    ("wrong", "remark"),
    [
        ({"putUsers": [{"username": "new"}]}, "User:new does not exist, and a new user needs a secret"),
        ({"putUsers": [{"username": " ", "password": "x"}]}, "username can not be blank"),
        ({"putUsers": [{"username": "new", "password": "x", "userType": "King"}]}, "King"),
        ({"putUsers": [{"username": "new", "password": MASK}]}, "mask"),
        ({"putUsers": [{"username": "bob", "password": " "}]}, "password can not be blank"),
        ({"putUsers": [{"username": "bob", "password": ""}]}, "password can not be blank"),
        ({"putAcls": [acl("User:nobody", ENTRY)]}, "The subject of User:nobody is not exist."),
        ({"putAcls": [{"subject": "User:bob", "policies": []}]}, "The policies is empty."),
        ({"putAcls": [acl("User:bob", {**ENTRY, "actions": ["Publish"]})]}, "Publish"),
        ({"deleteAcls": ["bob"]}, "subject"),
        ({"deleteUsers": [""]}, "username can not be blank"),
        ({"deleteUsers": ["root"]}, "the last enabled Super user"),
        ({"removeUsers": ["bob"]}, "removeUsers"),
    ],
)
def test_one_invalid_change_prevents_all(house, wrong, remark):
    """The valid changes are not made either, and the refusal is audited."""
    house.user("bob")
    version = house.manager.snapshot.version
    sound = {"putUsers": [{"username": "alice", "password": "alice-secret"}]}
    answer = apply(house, **{**sound, **wrong, "putUsers": sound["putUsers"] + wrong.get("putUsers", [])})

    assert answer.code != 0
    assert remark in answer.remark
    assert house.manager.snapshot.version == version
    assert house.manager.snapshot.user("alice") is None
    if "removeUsers" not in wrong:
        (record,) = [one for one in house.sink.records if isinstance(one, AdminChange)]
        assert (record.operation, record.outcome) == ("apply-changes", answer.remark)


def test_changes_need_permissions(house):
    """The request needs Cluster Update, and a sender cannot grant permissions that it does not hold."""
    house.user("bob")
    house.user("helper", ("Cluster:*", "Update"))
    change = {"putAcls": [acl("User:bob", ENTRY)]}

    assert apply(house, user="bob", **change).code == ResponseCode.NO_PERMISSION
    assert apply(house, user="helper", **change).code == ResponseCode.NO_PERMISSION
    assert apply(house, user="helper", putUsers=[{"username": "me", "password": "x", "userType": "Super"}]).code != 0
    assert house.manager.snapshot.acl("bob") is None
    assert apply(house, user="helper", deleteUsers=["bob"]).code == 0


def test_changes_are_audited_without_secrets(house):
    """One record, with every change."""
    apply(
        house,
        putUsers=[{"username": "alice", "password": "alice-secret"}],
        putAcls=[acl("User:alice", ENTRY)],
        deleteAcls=["User:x"],
        deleteUsers=["y"],
    )

    (record,) = [one for one in house.sink.records if isinstance(one, AdminChange)]
    assert (record.operation, record.outcome) == ("apply-changes", "done")
    assert record.details == {
        "1": "put user alice: Normal, enable, secret set",
        "2": "put policies of User:alice: Custom: Allow Pub on Topic:t*",
        "3": "delete policies of User:x",
        "4": "delete user y",
    }
    assert "alice-secret" not in repr(record)


def test_a_record_is_readable_with_any_user_name(house):
    """A name that looks like a secret is not masked, and an unchanged secret is not recorded as set."""
    house.user("token-secret")
    apply(house, putUsers=[{"username": "token-secret", "userStatus": "disable"}])
    apply(house, putUsers=[{"username": "token-secret", "password": SECRET}])

    told = [one.details["1"] for one in house.sink.records if isinstance(one, AdminChange)]
    assert told == [
        "put user token-secret: Normal, disable",
        "put user token-secret: Normal, disable, secret set",
    ]


def test_the_garbage_collector_is_on_after_a_change(house):
    """This holds for changes that are made and for refused ones."""
    for body in (b'{"deleteUsers": ["y"]}', b'{"deleteUsers": [""]}', b"{", b""):
        house.call(3007, {"mqguardChanges": "1"}, body, user="root")
        assert gc.isenabled()


@pytest.mark.parametrize("name", ["x\nUser:root", "x\0y", "root ", "root\u200b", "ro\u00a0ot", "x" * 256])
def test_a_new_user_cannot_have_a_name_that_looks_like_another(house, name):
    """The name of a user that exists may be as it is."""
    assert apply(house, putUsers=[{"username": name, "password": "a-secret"}]).code == ResponseCode.NO_PERMISSION
    assert house.call(3001, {"username": name}, json.dumps({"username": name, "password": "a-secret"}).encode()).code
    assert house.manager.snapshot.user(name) is None

    house.manager.create_user(name, SECRET)
    assert apply(house, putUsers=[{"username": name, "userStatus": "disable"}]).code == 0
    assert apply(house, deleteUsers=[name]).code == 0


def test_a_new_user_may_have_a_name_in_any_script(house):
    for name in ("Jürgen Groß", "用户", "a" * 255):
        assert apply(house, putUsers=[{"username": name, "password": "a-secret"}]).code == 0
