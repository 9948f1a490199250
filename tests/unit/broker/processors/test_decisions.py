"""The details of a denial over the wire, and the permissions that they need."""

import json

import pytest

from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.user import Subject
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.denial import WITHHELD, answer_of
from mqguard.remoting.codes import OwnCode, ResponseCode
from tests.unit.broker.conftest import SECRET, House

CLUSTER = "Cluster:DefaultCluster"


@pytest.fixture(name="house")
def a_house():
    """Alice may publish to all orders but the secret ones; the auditor may read policies."""
    house = House()
    house.user("alice", ("Topic:orders*", "Pub"))
    _say(house, "Topic:orders-secret", Decision.DENY)
    house.user("auditor", (CLUSTER, "Get"))
    return house


def _say(house, resource, decision):
    entry = Entry(Resource.parse(resource), (Action.PUB,), (), decision)
    house.manager.create_acl(Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, (entry,)),)))


def refused(house, topic="orders-secret"):
    answer = house.call(310, {"b": topic, "a": "g"}, b"x", user="alice")
    assert answer.code == ResponseCode.NO_PERMISSION
    return answer.remark.rpartition("[decision ")[2].rstrip("]")


def ask(house, decision, user="root"):
    return house.call(OwnCode.GET_DECISION, {"decisionId": decision}, user=user)


@pytest.mark.parametrize("user", ["root", "auditor"])
def test_a_user_who_may_read_policies_gets_the_details(house, user):
    decision = refused(house)
    facts = json.loads(ask(house, decision, user).body)

    assert (facts["decision"], facts["user"], facts["authenticatedBy"], facts["source"]) == (
        decision,
        "alice",
        "signature",
        "127.0.0.1",
    )
    assert (facts["request"], facts["event"], facts["verdict"]) == ("SEND_MESSAGE_V2", "authorization", "deny")
    assert facts["permissions"][0]["decidedBy"]["resource"] == "Topic:orders-secret"
    standings = [one["outcome"] for one in facts["explanation"]["considered"]]
    assert standings == ["decided", "overruled"]
    assert facts["explanation"]["minimalChange"]["remove"] == ["Deny Pub on Topic:orders-secret from anywhere"]
    assert "smallest change that reverses this decision:" in facts["explanationText"]
    assert decision in facts["message"]


def test_the_details_are_those_of_the_audit_log_with_the_names_of_answers(house):
    decision = refused(house)
    [record] = [one for one in house.sink.records if getattr(one, "decision_id", "") == decision]
    logged = answer_of(json.loads(AuditLines().render([record])[1]))
    facts = json.loads(ask(house, decision).body)

    assert {name: facts[name] for name in logged if name != "micros"} == {
        name: value for name, value in logged.items() if name != "micros"
    }


def test_only_super_users_get_entries_that_are_not_in_force(house):
    decision = refused(house)
    house.manager.delete_acl(Subject("alice"))
    told = ask(house, decision, "auditor").body
    facts = json.loads(told)

    assert facts["hiddenReason"] == WITHHELD
    assert "explanation" not in facts
    assert b"Deny Pub" not in told
    assert b"decidedBy" not in told
    assert json.loads(ask(house, decision).body)["explanation"]["considered"]


def test_the_details_need_the_permission_to_read_policies(house):
    decision = refused(house)
    for user in ("alice", None, "stranger"):
        answer = ask(house, decision, user)
        assert (answer.code, answer.body) == (ResponseCode.NO_PERMISSION, b"")


def test_an_unknown_or_missing_id_is_an_error(house):
    assert ask(house, "d99").code == ResponseCode.QUERY_NOT_FOUND
    assert ask(house, "").code == ResponseCode.INVALID_PARAMETER
    assert house.call(OwnCode.GET_DECISION).code == ResponseCode.INVALID_PARAMETER


def test_a_guessed_id_reveals_nothing(house):
    command = house.command(310, {"b": "orders", "a": "g"}, b"x", user="alice")
    command.ext["Signature"] = "bm90IGl0"
    wire = house.connect()
    house.give(wire, command)
    decision = wire.frames[0].remark.rpartition("[decision ")[2].rstrip("]")
    told = ask(house, decision).body

    assert json.loads(told)["reason"] == "wrong-signature"
    assert json.loads(told)["authenticatedBy"] == ""
    assert SECRET.encode() not in told
    assert b"bm90IGl0" not in told
