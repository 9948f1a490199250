"""Rotation of secrets over the wire: both secrets work until the end, and the old one never a moment longer."""

import json

import pytest

from mqguard.auth.authentication import sign
from mqguard.auth.user import LiveSecret, Secret
from mqguard.dispatch.access_requests import MAX_KEEP_OLD_SECRET_MS
from mqguard.guard.audit import AdminChange
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.settings import Strategy
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import signed_content
from tests.unit.broker.conftest import SECRET, House

NEW = "the new secret of alice"
HOUR = 3_600_000
CLUSTER = "Cluster:DefaultCluster"


@pytest.fixture(name="house", params=list(Strategy), ids=lambda strategy: strategy.value)
def a_house(request):
    """Return a house where Alice may publish, with each strategy of authentication."""
    house = House(guard={"authentication_strategy": request.param})
    house.user("alice", ("Topic:orders", "Pub"))
    return house


def rotate(house, ext=None, password=NEW, user="root"):
    body = json.dumps({"username": "alice", **({"password": password} if password is not None else {})}).encode()
    return house.call(3002, {"username": "alice", **(ext or {"keepOldSecretMs": HOUR})}, body, user=user)


def may_act(house, secret, wire=None):
    """Return True if a request that is signed with a secret is admitted."""
    wire = wire or house.connect()
    ext = {"topic": "orders", "AccessKey": "alice"}
    ext["Signature"] = sign(Secret(secret), signed_content(ext, b"", 513))
    command = Command(105, 7, 0, 513, 0, None, ext, b"")
    house.app.commands(wire, [command])
    house.app.end_of_iteration()
    # A broker has no handler for routes, so an admitted request gets this code.
    return wire.frames[-1].code == ResponseCode.REQUEST_CODE_NOT_SUPPORTED


def test_both_secrets_work_until_the_old_one_expires(house):
    old, new = house.connect(), house.connect()
    assert may_act(house, SECRET, old)
    assert rotate(house).code == 0
    assert may_act(house, SECRET, old)
    assert may_act(house, NEW, new)

    house.clock.now += HOUR
    assert may_act(house, SECRET, old)
    house.clock.now += 1
    assert not may_act(house, SECRET, old)
    assert not may_act(house, SECRET)
    assert may_act(house, NEW, new)
    assert may_act(house, NEW)


@pytest.mark.parametrize("ext", [{"nsd": "false"}, {"keepOldSecretMs": 0}])
def test_the_old_secret_ends_at_once_without_a_time(house, ext):
    assert rotate(house).code == 0
    assert rotate(house, ext, "a third one").code == 0
    assert [may_act(house, secret) for secret in (SECRET, NEW, "a third one")] == [False, False, True]


def test_a_third_secret_ends_the_first_one(house):
    rotate(house)
    until = house.clock.now + HOUR
    house.clock.now += 1000
    rotate(house)
    assert house.manager.get_user("alice").secrets == (LiveSecret(Secret(NEW)), LiveSecret(Secret(SECRET), until))

    rotate(house, password="a third one")
    assert [may_act(house, secret) for secret in (SECRET, NEW, "a third one")] == [False, True, True]


@pytest.mark.parametrize(
    ("ext", "password"),
    [
        ({"keepOldSecretMs": -1}, NEW),
        ({"keepOldSecretMs": MAX_KEEP_OLD_SECRET_MS + 1}, NEW),
        ({"keepOldSecretMs": "24h"}, NEW),
        ({"keepOldSecretMs": ""}, NEW),
        ({"keepOldSecretMs": HOUR}, None),
        ({"keepOldSecretMs": HOUR}, " "),
    ],
)
def test_an_invalid_rotation_changes_nothing(house, ext, password):
    before = house.manager.get_user("alice")
    answer = rotate(house, ext, password)

    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert "keepOldSecretMs" in answer.remark
    assert house.manager.get_user("alice") is before


def test_a_rotation_is_audited_without_secrets(house):
    rotate(house)
    [change] = [record for record in house.sink.records if isinstance(record, AdminChange)]
    line = AuditLines().render([change])[1]

    assert (change.operation, change.subject, change.outcome) == ("update-user", "User:alice", "done")
    assert change.details["keepOldMs"] == str(HOUR)
    assert NEW.encode() not in line
    assert SECRET.encode() not in line


def test_a_rotation_needs_the_permission_to_set_a_secret(house):
    """With a new secret, the sender could act as the user, so it must hold the user's rights."""
    house.user("helper", (CLUSTER, "Update"))
    house.user("peer", (CLUSTER, "Update"), ("Topic:orders", "Pub"))

    assert rotate(house, user="helper").code == ResponseCode.NO_PERMISSION
    assert rotate(house, user="alice").code == ResponseCode.NO_PERMISSION
    assert len(house.manager.get_user("alice").secrets) == 1
    assert rotate(house, user="peer").code == 0


def test_the_number_of_secrets_is_returned_on_request(house):
    asked = {"username": "alice", "mqguardSecrets": "1"}
    rotate(house)
    until = house.clock.now + HOUR
    plain = house.call(3004, {"username": "alice"})
    told = json.loads(house.call(3004, asked).body)
    [listed] = json.loads(house.call(3005, {"filter": "alice", "mqguardSecrets": "1"}).body)

    assert set(json.loads(plain.body)) <= {"username", "password", "userType", "userStatus"}
    assert (
        (told["liveSecrets"], told["oldSecretUntil"])
        == (2, until)
        == (
            listed["liveSecrets"],
            listed["oldSecretUntil"],
        )
    )
    house.clock.now = until + 1
    told = json.loads(house.call(3004, asked).body)
    assert (told["liveSecrets"], told.get("oldSecretUntil")) == (1, None)


@pytest.mark.parametrize("password", [None, NEW])
def test_applying_a_document_does_not_end_a_rotation(house, password):
    """Other things of the user change, its secret is the one that it has: both live on."""
    rotate(house)
    before = house.manager.get_user("alice").secrets
    user = {"username": "alice", "userType": "Normal", "userStatus": "enable"}
    if password is not None:
        user["password"] = password
    body = json.dumps({"putUsers": [user]}).encode()
    assert house.call(3007, {"mqguardChanges": "1"}, body).code == 0

    assert house.manager.get_user("alice").secrets == before
