"""Admission from end to end: admitted and denied requests, their messages and their records."""

import json
import logging

import pytest

from mqguard.auth.decide import decide
from mqguard.auth.policy import PolicyType
from mqguard.auth.user import UserStatus
from mqguard.guard import authorization
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.errors import DenialReason, GuardMisconfigured, Refused
from mqguard.guard.request_context import Operation
from mqguard.guard.settings import GuardSettings
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from tests.unit.guard.world import PEER, World, response_code, signed


def test_an_allowed_send_is_admitted(world):
    """Identity, needs and source are what the request proved."""
    access = world.admit(signed(310, b="orders"))

    assert access.identity.user == "alice"
    assert access.identity.method == "signature"
    assert not access.identity.is_super
    assert [need.key for need in access.permissions] == ["Topic:orders"]
    assert not access.pending


def test_a_send_without_a_matching_policy_gets_the_message_of_apache(world):
    """The message names user, resource and source; the id leads to the details."""
    refused = world.refusal(signed(310, b="other"))

    assert response_code(refused) == 16
    assert refused.message == (
        "User:alice has no permission to access Topic:other from 10.1.2.3, no matched policies. "
        f"[decision {refused.decision_id}]"
    )
    story = world.guard.denials.find(refused.decision_id)
    assert (story.event.user, story.event.authenticated, story.event.stage.value, story.event.reason) == (
        "alice",
        True,
        "authorization",
        "no-match",
    )
    assert (
        "add to User:alice Custom: Allow Pub on Topic:other from 10.1.2.3"
        in story.facts(with_entries=True)["explanationText"]
    )


def test_a_denied_send_gets_the_decision(world):
    """A Deny under a wider Allow decides: the message has the decision, the details have the entry."""
    world.allow("alice", "Topic:*", "All")
    world.deny("alice", "Topic:secret", "Pub")

    refused = world.refusal(signed(310, b="secret"))

    assert "the decision is deny." in refused.message
    story = world.guard.denials.find(refused.decision_id)
    assert story.event.verdicts[-1].decided_by.resource.key == "Topic:secret"
    assert (
        "remove from User:alice Custom: Deny Pub on Topic:secret from anywhere"
        in story.facts(with_entries=True)["explanationText"]
    )


@pytest.mark.parametrize(
    ("command", "reason", "sentence"),
    [
        (signed(310, b="orders", secret="wrong"), "wrong-signature", "check signature failed."),
        (signed(310, b="orders", user="nobody"), "unknown-user", "check signature failed."),
        (Command(310, ext={"b": "orders"}), "no-credentials", "username cannot be null."),
        (Command(310), "no-credentials", "username cannot be null."),
        (Command(310, ext={"b": "orders", "AccessKey": "alice"}), "no-signature", "check signature failed."),
        (Command(310, ext={"b": "orders", "AccessKey": ""}), "no-credentials", "username cannot be null."),
        (
            Command(310, ext={"AccessKey": "alice", "Signature": "é\ud800"}),
            "wrong-signature",
            "check signature failed.",
        ),
    ],
)
def test_bad_credentials_are_refused(world, command, reason, sentence):
    """The peer gets the same message for an unknown user and a wrong secret; the kept denial has the reason."""
    refused = world.refusal(command)

    assert refused.message == f"{sentence} [decision {refused.decision_id}]"
    story = world.guard.denials.find(refused.decision_id)
    assert (story.event.stage.value, story.event.reason, story.event.authenticated) == ("authentication", reason, False)
    assert story.event.user == command.ext.get("AccessKey", "")


def test_a_changed_body_breaks_the_signature(world):
    """The body is signed."""
    command = signed(310, {"b": "orders"}, b"pay 1")
    command.body = b"pay 9"

    assert "check signature failed." in world.refusal(command).message


def test_a_go_client_with_a_token_is_admitted(world):
    """Java signs the security token, Go leaves it out: both are right."""
    java = signed(310, b="orders", SecurityToken="sts")
    go = signed(310, b="orders")
    go.ext["SecurityToken"] = "sts"
    forged = signed(310, b="orders", secret="wrong", SecurityToken="sts")

    world.admit(java)
    world.admit(go)
    assert "check signature failed." in world.refusal(forged).message


def test_an_old_client_leaves_the_unique_key_query_unsigned(world):
    """Up to 4.9.3 `_UNIQUE_KEY_QUERY` is added after signing."""
    world.allow("alice", "Topic:orders", "Get")
    old = signed(12, topic="orders", version=399)
    old.ext["_UNIQUE_KEY_QUERY"] = "true"

    world.admit(old)
    old.version = 401
    assert "check signature failed." in world.refusal(old).message


def test_a_disabled_user_is_refused_super_or_not(world):
    """Disabled means disabled."""
    world.metadata.create_user("boss", "x")
    world.metadata.update_user("alice", status=UserStatus.DISABLE)

    assert "User:alice is disabled." in world.refusal(signed(310, b="orders")).message


def test_a_super_user_needs_no_policy(world):
    """Super users may send everything, requests with missing fields included: the handler answers those."""
    world.admit(signed(310, b="anything", user="root"))
    world.admit(signed(310, user="root"))
    world.admit(signed(25, user="root"))
    assert not world.admit(signed(33, offset="7", user="root")).pending


def test_the_source_address_counts(world):
    """An entry for a range matches only requests from that range."""
    world.allow("alice", "Topic:local", "Pub", sources=("192.168.0.0/16",))
    command = signed(310, b="local")

    world.admit(command, Peer("192.168.7.7", 1, Channel("c")))
    world.admit(command, Peer("::ffff:192.168.7.7", 1, Channel("c")))
    assert "from 10.1.2.3" in world.refusal(command).message
    world.refusal(command, Peer("", 0, Channel("c")))
    world.refusal(command, Peer("no address", 0, Channel("c")))


def test_a_change_is_in_force_for_the_next_request(world):
    """Granting, denying, disabling and deleting are seen at once."""
    command = signed(310, b="late")
    world.refusal(command)
    world.allow("alice", "Topic:late", "Pub")
    world.admit(command)
    world.deny("alice", "Topic:late", "Pub")
    world.refusal(command)
    world.metadata.delete_user("alice")
    assert "check signature failed." in world.refusal(signed(310, b="orders")).message


def test_the_default_policy_applies_where_no_custom_entry_does(world):
    """Default allows a topic that Custom does not mention, and nothing that it does."""
    world.allow("alice", "Topic:*", "Sub", "Pub", policy=PolicyType.DEFAULT)

    world.admit(signed(310, b="anything"))
    world.allow("alice", "Topic:limited", "Sub")
    world.refusal(signed(310, b="limited"))


def test_one_unmet_need_refuses(world):
    """A pull needs topic and group."""
    world.allow("alice", "Topic:orders", "Sub")
    command = signed(11, topic="orders", consumerGroup="g")

    assert "Group:g" in world.refusal(command).message
    world.allow("alice", "Group:g", "Sub")
    assert [need.key for need in world.admit(command).permissions] == ["Topic:orders", "Group:g"]


def test_a_heartbeat_of_an_honest_consumer_is_admitted(world):
    """Consumers heartbeat with their group, topics, own retry topic and the inner producer."""
    world.allow("alice", "Topic:orders", "Sub")
    world.allow("alice", "Group:g", "Sub")
    beat = {
        "clientID": "10.1.2.3@1",
        "consumerDataSet": [
            {
                "groupName": "g",
                "consumeType": "CONSUME_PASSIVELY",
                "subscriptionDataSet": [{"topic": "orders", "subString": "*"}, {"topic": "%RETRY%g"}],
            }
        ],
        "producerDataSet": [{"groupName": "CLIENT_INNER_PRODUCER"}],
    }

    access = world.admit(signed(34, {}, json.dumps(beat).encode()))

    assert [need.key for need in access.permissions] == ["Group:g", "Topic:orders"]
    beat["consumerDataSet"][0]["subscriptionDataSet"][1]["topic"] = "%RETRY%h"
    assert "not the retry topic" in world.refusal(signed(34, {}, json.dumps(beat).encode())).message


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"7", b'{"clientID":{}}', b"{}", b"[" * 100_000]
)
def test_a_heartbeat_that_cannot_be_read_is_denied(world, body):
    """No body, no JSON, no client id."""
    assert response_code(world.refusal(signed(34, {}, body))) == 16


def test_a_request_for_many_resources_is_one_record(world):
    """The record names some of the topics, and how many there were."""
    world.allow("alice", "Topic:*", "Create")
    body = json.dumps({"topicConfigList": [{"topicName": f"t{number}"} for number in range(128)]}).encode()

    access = world.admit(signed(18, {}, body))

    (record,) = world.sink.records
    assert (len(access.permissions), record.resources) == (128, 128)
    assert len(record.permissions) == len(record.verdicts) == 32


def test_the_first_permission_that_is_not_granted_ends_the_work(world, monkeypatch):
    """The guard neither decides about nor checks the rest of the body."""
    decided = []
    monkeypatch.setattr(authorization, "decide", lambda *question: decided.append(question) or decide(*question))
    world.allow("alice", "Topic:t0", "Create")
    topics = [{"topicName": f"t{number}"} for number in range(100)]

    for names in (topics, [*topics[:20], {"topicName": ""}]):
        refused = world.refusal(signed(18, {}, json.dumps({"topicConfigList": names}).encode()))

        assert "Topic:t1" in refused.message
    assert len(decided) == 4


def test_a_body_of_a_sender_without_an_identity_is_not_read(world):
    """A whitelisted anonymous request is denied before its body is read."""
    settings = GuardSettings(
        authentication_enabled=True, authorization_enabled=True, authentication_whitelist=frozenset({"34", "18"})
    )
    for code in (34, 18):
        refused = World(settings).refusal(Command(code, body=b"nonsense"))
        assert "JSON" not in refused.message


# Implicit grants.


@pytest.mark.parametrize(
    "topic", ["TBW102", "DefaultCluster", "broker-a", "DefaultCluster_REPLY_TOPIC", "RMQ_SYS_TRACE_TOPIC"]
)
def test_routes_that_clients_ask_for_by_themselves_need_no_grant(topic):
    """Only the route: nothing else on these topics is free, and a policy that denies it counts."""
    world = World(
        GuardSettings(authentication_enabled=True, authorization_enabled=True, brokers=frozenset({"broker-a"}))
    )

    world.admit(signed(105, topic=topic))
    world.refusal(signed(12, topic=topic))
    world.refusal(signed(11, topic=topic, consumerGroup="g"))
    world.deny("alice", f"Topic:{topic}", "All")
    assert "the decision is deny." in world.refusal(signed(105, topic=topic)).message


@pytest.mark.parametrize(
    "command",
    [
        Command(105, ext={"topic": "TBW102"}),
        signed(105, user="unknown", topic="TBW102"),
        signed(105, secret="wrong", topic="TBW102"),
    ],
    ids=["no credentials", "unknown user", "wrong secret"],
)
def test_the_route_of_the_template_topic_is_public(world, command):
    """The user of a client with wrong credentials can only learn the reason from the broker that the route names."""
    admitted = world.admit(command)
    assert admitted.identity is None
    event = world.sink.records[-1]
    assert (event.reason, event.decision_id) == ("public", "")

    other = Command(105, ext={**command.ext, "topic": "TBW103"})
    world.refusal(other)
    world.refusal(Command(310, ext={**command.ext, "b": "TBW102"}))
    closed = World(GuardSettings(authentication_enabled=True, authorization_enabled=True, default_route_open=False))
    closed.refusal(command)


def test_the_public_route_gives_a_connection_no_user(world):
    """The guess of a secret is not confirmed, and the connection stays anonymous."""
    peer = Peer(PEER.ip, PEER.port, Channel())
    world.admit(signed(105, secret="wrong", topic="TBW102"), peer)
    assert not peer.channel.user


def test_the_route_of_a_topic_needs_one_of_three_rights(world):
    """Pub, Sub or Get; and a route of another topic is refused."""
    world.admit(signed(105, topic="orders"))
    world.refusal(signed(105, topic="other"))
    for action in ("Sub", "Get"):
        world.allow("alice", f"Topic:{action}", action)
        world.admit(signed(105, topic=action))


@pytest.mark.parametrize("topic", ["RMQ_SYS_TRACE_TOPIC", "rmq_sys_TRACE_DATA_DefaultRegion"])
def test_traces_are_sent_without_a_grant_unless_the_operator_says_otherwise(world, topic):
    """Sending is free for users, reading is not; a policy that denies it counts; and it can be switched off."""
    trace = signed(310, b=topic)

    world.admit(trace)
    world.admit(signed(105, topic=topic))
    world.refusal(signed(11, topic=topic, consumerGroup="g"))
    world.deny("alice", f"Topic:{topic[:4]}*", "Pub")
    assert "the decision is deny." in world.refusal(trace).message

    closed = World(GuardSettings(authentication_enabled=True, authorization_enabled=True, trace_topic_open=False))
    closed.refusal(trace)


@pytest.mark.parametrize("ext", [{"topic": "x" * 20_000}, {"topic": "%RETRY%" + "x" * 100_000, "consumerGroup": "g"}])
@pytest.mark.parametrize("code", [10, 11, 105, 200050, 200051, 324, 216, 208])
def test_what_a_peer_makes_up_fills_no_answer_and_no_record(world, code, ext):
    """Answer and record stay short for a name of any length, authenticated or claimed."""
    for command in (signed(code, {**ext, "clusterName": "y" * 20_000}), signed(code, user="z" * 20_000)):
        refused = world.refusal(command)
        written = AuditLines().render(world.sink.records[-1:])

        assert len(refused.message) < 3000
        assert sum(map(len, written)) < 9000


# Switches.


def test_with_everything_off_everybody_is_admitted():
    """No identity, no check; the record says that nothing was checked."""
    world = World(GuardSettings())

    access = world.admit(Command(25))

    assert access.identity is None
    assert not access.pending
    access.require_owner("somebody", "it")
    assert world.sink.records[-1].reason == "authorization-off"
    assert world.sink.records[-1].signature is None


def test_authentication_alone_lets_every_user_do_everything():
    """Authorization off: who is known may do what it likes, who is not is refused."""
    world = World(GuardSettings(authentication_enabled=True))

    assert world.admit(signed(25)).identity.user == "alice"
    world.refusal(signed(25, secret="wrong"))
    world.refusal(Command(25))


def test_authorization_alone_does_not_start():
    """It would trust any name that a client sends."""
    with pytest.raises(GuardMisconfigured, match="authorizationTrustsClaimedUser"):
        World(GuardSettings(authorization_enabled=True))


def test_trusting_claims_and_authenticating_contradict():
    """The operator must say which."""
    with pytest.raises(GuardMisconfigured, match="contradicts"):
        World(GuardSettings(authentication_enabled=True, authorization_enabled=True, trust_claimed_user=True))


def test_a_trusted_claim_has_the_users_rights_but_is_never_super():
    """With the operator's word for it a claimed name counts; a claim to be Super does not."""
    world = World(GuardSettings(authorization_enabled=True, trust_claimed_user=True))
    world.allow("alice", "Topic:orders", "Pub")

    assert world.admit(Command(310, ext={"b": "orders", "AccessKey": "alice"})).identity.method == "claim"
    for ext in ({"AccessKey": "root"}, {"AccessKey": "nobody"}, {}, {"AccessKey": ""}):
        world.refusal(Command(310, ext={"b": "orders", **ext}))
        world.refusal(Command(106, ext=ext))
        world.refusal(Command(25, ext=ext))
    world.metadata.update_user("alice", status=UserStatus.DISABLE)
    world.refusal(Command(106, ext={"AccessKey": "alice"}))
    world.refusal(Command(310, ext={"b": "orders", "AccessKey": "alice"}))


def test_a_code_on_the_authentication_whitelist_needs_no_authentication_but_has_no_rights():
    """A whitelisted sender without credentials is anonymous and has no permissions."""
    world = World(
        GuardSettings(
            authentication_enabled=True, authorization_enabled=True, authentication_whitelist=frozenset({"310", "106"})
        )
    )
    world.allow("alice", "Topic:orders", "Pub")

    assert world.admit(signed(310, b="orders")).identity.user == "alice"
    for nobody in (
        Command(310, ext={"b": "orders"}),
        Command(310, ext={"b": "orders", "AccessKey": "alice"}),
        signed(310, b="orders", secret="wrong"),
        Command(106),
    ):
        refused = world.refusal(nobody)
        assert refused.message.startswith("Authorization failed.")
        assert world.guard.denials.find(refused.decision_id).event.reason == "no-credentials"


def test_both_whitelists_open_a_code_to_everybody():
    """And only that code."""
    both = frozenset({"105", " 106", "0107", "apache.rocketmq.v2.QueryRouteRequest"})
    world = World(
        GuardSettings(
            authentication_enabled=True,
            authorization_enabled=True,
            authentication_whitelist=both,
            authorization_whitelist=both,
        )
    )

    access = world.admit(Command(105))
    assert (access.identity, access.user, access.permissions, access.pending) == (None, "", (), False)
    assert world.sink.records[-1].reason == "excused"
    for code in (106, 107, 310):
        world.refusal(Command(code))


# Faults.


def test_a_fault_refuses_and_is_logged(world, caplog, break_users):
    """An internal error denies, and the peer gets no detail of it."""
    break_users()

    with caplog.at_level(logging.ERROR):
        refused = world.refusal(signed(310, b="orders"))

    assert response_code(refused) == 16
    assert refused.message.startswith("Authorization failed. Please verify your access rights and try again.")
    assert "on fire" not in refused.message
    assert world.guard.denials.find(refused.decision_id).event.reason == "internal-error"
    assert "the guard failed at request 310 SEND_MESSAGE_V2 of 10.1.2.3" in caplog.text


def test_a_fault_while_refusing_refuses_too(caplog):
    """Even when neither id nor record can be made."""

    def no_id():
        raise RuntimeError("no randomness left")

    world = World(new_id=no_id)

    with caplog.at_level(logging.ERROR):
        refused = world.refusal(signed(310, b="other"))

    assert isinstance(refused, Refused)
    assert (response_code(refused), refused.decision_id) == (16, "")
    assert refused.message == "Authorization failed. Please verify your access rights and try again."
    assert "a denial could not be audited" in caplog.text


class Claiming:
    """A request of a made protocol, by a user that only claims a name; its requirements do what the test says."""

    def __init__(self, required_permissions, access_key="alice", operation=Operation(name="Send")):  # noqa: B008
        self.operation = operation
        self.peer = PEER
        self.access_key = access_key
        self.signature = self.token = None
        self.required_permissions = required_permissions

    def is_public(self):
        return False

    def is_pending(self):
        return False


CLAIMS = GuardSettings(authorization_enabled=True, trust_claimed_user=True)


def test_an_error_in_the_requirements_denies():
    def broken():
        raise KeyError("row")

    with pytest.raises(Refused) as refused:
        World(CLAIMS).guard.admit(Claiming(broken))

    assert refused.value.reason is DenialReason.INTERNAL_ERROR


def test_a_super_user_passes_a_request_that_is_unclear():
    """Only for others the request must say what it touches."""
    unclear = Command(310)
    world = World()

    world.admit(signed(310, user="root"))
    assert world.refusal(signed(310)).reason is DenialReason.MISSING_FIELD
    with pytest.raises(Refused):
        world.admission.admit(unclear, PEER)
    world.refusal(signed(310))


def test_who_keeps_failing_is_slowed_and_who_has_proved_is_not(world):
    """Failures at an address slow the user there; a connection that has proved who it is goes on."""
    world.admit(signed(310, b="orders"))
    stranger = Peer(PEER.ip, 2, Channel("channel-2"))
    for _ in range(200):
        world.refusal(signed(310, b="orders", secret="guess"), stranger)

    slowed = world.refusal(signed(310, b="orders"), stranger)
    assert world.guard.denials.find(slowed.decision_id).event.reason == "throttled"
    world.admit(signed(310, b="orders"))
    world.admit(signed(310, b="orders"), Peer("10.9.9.9", 1, Channel("channel-3")))
    world.clock.now += 3_600_000
    world.admit(signed(310, b="orders"), stranger)
