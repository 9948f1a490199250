"""The holes in Apache RocketMQ's request checks are closed here: each has a test with a denied request.

Group b1 has the codes that Apache allows to every authenticated user. Group H-… has checks that can be avoided or that
check the wrong object. Group N… came with release 5.5.0 or was found in it.
"""

import json

import pytest

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import Refused
from tests.unit.guard.world import World, response_code, signed

GROUP = json.dumps({"groupName": "victim"}).encode()

ACK = {"c": "victim", "t": "victim", "r": "0", "so": 0, "q": 0, "rq": 0, "pt": 0, "it": 0, "b": "AQ=="}

UNCHECKED_BY_APACHE = [
    (18, {}, json.dumps({"topicConfigList": [{"topicName": "victim"}]}).encode()),
    (21, {"topicSeq": "0"}, b""),
    (25, {}, b"authenticationEnabled=false"),
    (26, {}, b""),
    (28, {}, b""),
    (43, {}, b""),
    (45, {}, b""),
    (46, {}, json.dumps({"clientId": "c", "group": "victim", "subscriptionData": {"topic": "victim"}}).encode()),
    (60, {}, b""),
    (61, {}, b""),
    (200, {}, GROUP),
    (201, {"groupSeq": "0"}, b""),
    (225, {}, json.dumps({"groupConfigList": [{"groupName": "victim"}]}).encode()),
    (305, {}, b""),
    (306, {}, b""),
    (316, {}, b""),
    (324, {"topic": "victim", "producerGroup": "p"}, b"x"),
    (325, {"b": "victim", "a": "p"}, b"x"),
    (329, {}, b""),
    (361, {"topic": "victim", "consumerGroup": "mine", "queueId": "0", "queueOffset": "0"}, b""),
    (400, {}, json.dumps({"topic": "victim", "consumerGroup": "victim", "clientId": "c"}).encode()),
    (401, {}, json.dumps({"topic": "victim", "consumerGroup": "victim", "mode": "POP"}).encode()),
    (402, {}, b""),
    (513, {"topic": "victim"}, json.dumps({"topic": "victim"}).encode()),
    (907, {}, b""),
    (1007, {}, b""),
    (2001, {}, b"g=1"),
    (2002, {}, b"g"),
    (2003, {}, b""),
    (2004, {"READ_AHEAD_MODE": "0"}, b""),
    (200056, {}, b""),
    (200151, {}, json.dumps({"brokerName": "b", "acks": [ACK]}).encode()),
    # Since 5.5.0: N1, N2, N7, N10, N11.
    (5001, {"E_T": "F"}, b""),
    (200070, {"consumerGroup": "victim", "topic": "victim", "clientId": "c"}, b""),
    (200071, {}, json.dumps({"subscriptionSet": [{"action": "PARTIAL_ADD", "group": "g", "topic": "t"}]}).encode()),
    (200074, {}, b""),
    (200075, {"topic": "victim"}, b""),
    (200076, {"parentTopic": "victim", "liteTopic": "l"}, b""),
    (200077, {"parentTopic": "victim", "group": "victim", "clientId": "c"}, b""),
    (200078, {"group": "victim"}, b""),
    (200079, {"group": "victim"}, b""),
    (361, {"topic": "victim", "consumerGroup": "mine", "liteTopic": "l", "queueId": "0", "queueOffset": "0"}, b""),
]

NAME_SERVER = [
    (103, {"clusterName": "DefaultCluster", "brokerName": "b", "brokerAddr": "h:1"}),
    (104, {"clusterName": "DefaultCluster", "brokerName": "b", "brokerAddr": "h:1"}),
    (322, {"clusterName": "DefaultCluster", "brokerName": "b", "brokerAddr": "h:1"}),
    (904, {"clusterName": "DefaultCluster", "brokerName": "b", "brokerAddr": "h:1"}),
    (216, {"topic": "victim", "clusterName": "DefaultCluster"}),
    (217, {"topic": "victim"}),
    (205, {"brokerName": "b"}),
    (327, {"brokerName": "b"}),
    (318, {}),
    (319, {}),
    (100, {"namespace": "n", "key": "k", "value": "v"}),
    (102, {"namespace": "n", "key": "k"}),
    (101, {"namespace": "n", "key": "k"}),
    (219, {"namespace": "n"}),
    (105, {"topic": "victim"}),
    (206, {}),
    (224, {"cluster": "DefaultCluster"}),
    (304, {}),
    (311, {}),
    (312, {}),
    (313, {}),
    (901, {"clusterName": "DefaultCluster", "brokerName": "b"}),
]

CONTROLLER = [
    (1001, {"brokerName": "b"}),
    (1002, {"clusterName": "DefaultCluster", "brokerName": "b"}),
    (1003, {"clusterName": "DefaultCluster", "brokerName": "b"}),
    (1004, {"brokerName": "b"}),
    (1005, {}),
    (1006, {}),
    (1009, {}),
    (1010, {}),
    (1011, {"clusterName": "DefaultCluster", "brokerName": "b"}),
    (1012, {"clusterName": "DefaultCluster", "brokerName": "b"}),
    (1013, {"clusterName": "DefaultCluster", "brokerName": "b"}),
    (902, {"configPath": "/etc/passwd"}),
    (903, {"brokerClusterName": "DefaultCluster", "brokerName": "b"}),
]

OF_MINE = "RETRY_TOPIC\x01mine\x02"
"""Properties of a message that came from a topic of the sender."""


@pytest.fixture(name="world")
def a_world():
    """Alice may use what is hers, and nothing that is the victim's."""
    world = World()
    world.allow("alice", "Topic:mine", "All")
    world.allow("alice", "Group:mine", "All")
    return world


@pytest.mark.parametrize(("code", "ext", "body"), UNCHECKED_BY_APACHE)
def test_b1_a_user_without_rights_sends_nothing_that_apache_does_not_check(world, code, ext, body):
    """An authenticated user without a right on what a request touches is refused."""
    refused = world.refusal(signed(code, ext, body))

    assert response_code(refused) == 16
    assert world.guard.denials.find(refused.decision_id).event.reason in {
        "no-match",
        "super-only",
        "broker-only",
        "no-reply-topic",
    }


@pytest.mark.parametrize(("code", "ext"), NAME_SERVER)
def test_b3_the_name_server_is_guarded(world, code, ext):
    """Brokers are not registered, routes not forged and nothing listed by a user without rights."""
    assert response_code(world.refusal(signed(code, ext))) == 16


@pytest.mark.parametrize(("code", "ext"), CONTROLLER)
def test_b4_b5_controller_and_container_are_guarded(world, code, ext):
    """No master is elected, no replica joined and no broker added by a user without rights."""
    assert response_code(world.refusal(signed(code, ext))) == 16


@pytest.mark.parametrize(("code", "ext"), [*NAME_SERVER, *CONTROLLER, (106, {}), (310, {"b": "mine"}), (34, {})])
def test_no_unsigned_request_is_admitted(world, code, ext):
    """A request without credentials is refused, name server and controller included."""
    command = signed(code, ext)
    command.ext = dict(ext)

    assert world.refusal(command).message.startswith("username cannot be null.")


@pytest.mark.parametrize("ext", [{"offset": "7"}, {"offset": "7", "topic": "mine"}, {"offset": "7", "topic": " "}])
def test_hc1_view_message_by_id_is_decided_by_the_message(world, ext):
    """For any named topic, or none, the handler must ask about the message's topic, and the guard denies it."""
    access = world.admit(signed(33, ext))

    assert access.pending
    with pytest.raises(Refused):
        access.require(ResourceType.TOPIC, "victim", Action.GET)


@pytest.mark.parametrize("topic", [{}, {"topic": ""}, {"topic": "mine"}, {"topic": "RMQ_SYS_TRANS_HALF_TOPIC"}])
def test_hc2_end_transaction_is_decided_by_the_half_message(world, topic):
    """For any named topic, or none, the handler must ask about the half message's topic, and the guard denies it."""
    access = world.admit(signed(37, {**topic, "producerGroup": "p", "commitLogOffset": "7"}))

    assert access.pending
    with pytest.raises(Refused):
        access.require(ResourceType.TOPIC, "victim", Action.PUB)


def test_hc2_end_transaction_with_a_foreign_topic(world):
    """A topic that is named needs Pub at once."""
    assert response_code(world.refusal(signed(37, topic="victim", producerGroup="p"))) == 16


def test_hc3_a_producer_heartbeat_gives_no_right_to_others_transactions(world):
    """A producer group is not a resource; only a user with Pub on the message's topic gets its check."""
    body = json.dumps({"clientID": "c", "producerDataSet": [{"groupName": "victims-producers"}]}).encode()

    access = world.admit(signed(34, {}, body))

    assert not access.allows(ResourceType.TOPIC, "victim", Action.PUB)
    assert access.allows(ResourceType.TOPIC, "mine", Action.PUB)


def test_hc3_a_client_id_belongs_to_the_user_that_registered_it(world):
    """A heartbeat under a client id that another user registered is refused."""
    body = json.dumps({"clientID": "c", "producerDataSet": [{"groupName": "p"}]}).encode()
    access = world.admit(signed(34, {}, body))

    access.require_owner("alice", "the client id `c`")
    access.require_owner(None, "the client id `d`")
    with pytest.raises(Refused, match="belongs to another user"):
        access.require_owner("bob", "the client id `c`")


@pytest.mark.parametrize("code", [36, 309])
def test_hc4_giving_back_is_decided_by_the_message(world, code):
    """Copying a message by its offset, or handing it to a client, needs Sub on the message's topic."""
    access = world.admit(signed(code, {"group": "mine", "consumerGroup": "mine", "offset": "7", "delayLevel": "0"}))

    assert access.pending
    with pytest.raises(Refused):
        access.require(ResourceType.TOPIC, "victim", Action.SUB)


@pytest.mark.parametrize("topic", [{}, {"topic": "mine"}])
def test_hc5_resume_check_is_decided_by_the_message(world, topic):
    """Checking a half message again needs Update on the message's topic."""
    access = world.admit(signed(323, {**topic, "msgId": "00"}))

    assert access.pending
    with pytest.raises(Refused):
        access.require(ResourceType.TOPIC, "victim", Action.UPDATE)


@pytest.mark.parametrize(
    ("code", "ext"),
    [
        (10, {"topic": "%RETRY%victim", "group": "mine", "producerGroup": "mine", "properties": OF_MINE}),
        (310, {"b": "%RETRY%victim", "a": "mine", "i": OF_MINE}),
        (320, {"b": "%RETRY%victim", "a": "mine", "i": OF_MINE}),
        (310, {"b": "%DLQ%victim", "a": "mine", "i": OF_MINE}),
    ],
)
def test_hr1_a_retry_topic_is_written_by_its_own_group_only(world, code, ext):
    """The group named does not matter: the retry topic says whose it is."""
    assert "Group:victim" in world.refusal(signed(code, ext, b"x")).message


@pytest.mark.parametrize("topic", ["%RETRY%mine", "%DLQ%mine"])
@pytest.mark.parametrize(("code", "name", "text"), [(10, "topic", "properties"), (310, "b", "i"), (320, "b", "i")])
def test_a_message_for_a_retry_topic_claims_no_topic_that_is_closed_to_its_sender(world, topic, code, name, text):
    """Consumers of the group take it for a message of the topic in RETRY_TOPIC; of two such properties the last one."""
    for claimed in ("RETRY_TOPIC\x01victim\x02", "RETRY_TOPIC\x01mine\x02RETRY_TOPIC\x01victim"):
        assert "Topic:victim" in world.refusal(signed(code, {name: topic, text: claimed}, b"x")).message
    for nothing in ({}, {text: ""}, {text: "KEYS\x01k\x02"}, {text: "RETRY_TOPIC\x01 \x02"}):
        assert "RETRY_TOPIC" in world.refusal(signed(code, {name: topic, **nothing}, b"x")).message
    for system in ("SCHEDULE_TOPIC_XXXX", "%RETRY%victim"):
        world.refusal(signed(code, {name: topic, text: f"RETRY_TOPIC\x01{system}\x02"}, b"x"))
    world.admit(signed(code, {name: topic, text: OF_MINE}, b"x"))


@pytest.mark.parametrize("code", [11, 361, 14, 15, 200050, 200051, 200052, 200053, 200054, 200055])
def test_hr2_a_retry_topic_is_used_by_its_own_group_only(world, code):
    """Reading another group's retry topic is denied for all permissions."""
    world.allow("alice", "Group:*", "All")

    refused = world.refusal(signed(code, topic="%RETRY%victim", consumerGroup="mine"))

    assert "not the retry topic of the group `mine`" in refused.message


@pytest.mark.parametrize("code", [208, 222, 223, 303, 308, 309, 321, 345, 353])
def test_hr2_a_retry_topic_is_administered_with_its_own_group_only(world, code):
    """Statistics, resets and the like: topic and group that are named together must belong together."""
    world.allow("alice", "*", "All")
    groups = dict.fromkeys(("group", "consumerGroup", "compareGroup"), "mine")

    refused = world.refusal(signed(code, {"topic": "%RETRY%victim", **groups}))

    assert "not the retry topic of the group `mine`" in refused.message
    world.admit(signed(code, {"topic": "%RETRY%mine", **groups}))


@pytest.mark.parametrize("code", [11, 361])
def test_hr2_a_dead_letter_topic_needs_its_group(world, code):
    """Reading `%DLQ%g` needs Sub on g, besides Sub on the group that reads."""
    command = signed(code, topic="%DLQ%victim", consumerGroup="mine")

    assert "Group:victim" in world.refusal(command).message

    world.allow("alice", "Group:victim", "Sub")
    world.admit(command)


REQUIRED = [
    (12, "topic"),
    (17, "topic"),
    (29, "topic"),
    (30, "topic"),
    (31, "topic"),
    (32, "topic"),
    (202, "topic"),
    (215, "topic"),
    (300, "topic"),
    (351, "topic"),
    (354, "topic"),
    (370, "topic"),
    (203, "consumerGroup"),
    (307, "consumerGroup"),
    (207, "groupName"),
    (343, "group"),
    (352, "group"),
    (208, "consumerGroup"),
    (222, "topic"),
    (222, "group"),
    (223, "topic"),
    (223, "group"),
    (303, "topic"),
    (303, "group"),
    (308, "topic"),
    (308, "compareGroup"),
    (309, "consumerGroup"),
    (314, "srcGroup"),
    (314, "destGroup"),
    (321, "topic"),
    (345, "topic"),
    (345, "group"),
    (353, "topic"),
    (353, "group"),
    (200050, "topic"),
    (200050, "consumerGroup"),
]


@pytest.mark.parametrize(("code", "field"), REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_hc6_a_missing_field_refuses(world, code, field, value):
    """A needed name that is absent, empty or blank refuses, even a user who may do everything to everything."""
    world.allow("alice", "*", "All")
    names = ("topic", "consumerGroup", "group", "groupName", "srcGroup", "destGroup", "compareGroup", "topicFilterType")
    ext = dict.fromkeys(names, "SINGLE_TAG")
    world.admit(signed(code, ext))
    del ext[field]
    if value is not None:
        ext[field] = value

    assert field in world.refusal(signed(code, ext)).message


@pytest.mark.parametrize(
    ("code", "ext"),
    [
        (208, {"consumerGroup": "mine"}),
        (314, {"srcGroup": "mine", "destGroup": "mine"}),
        (308, {"compareGroup": "mine", "topic": "mine"}),
    ],
)
def test_hc6_all_of_a_group_is_answered_piece_by_piece(world, code, ext):
    """If a request names no topic or group and means all of them, the handler must ask about each."""
    access = world.admit(signed(code, ext))

    assert access.pending
    assert not access.allows(ResourceType.TOPIC, "victim", Action.GET)


def test_hc7_cloning_offsets_needs_the_source_group(world):
    """Offsets of another group are not copied into one's own."""
    refused = world.refusal(signed(314, srcGroup="victim", destGroup="mine", topic="mine"))

    assert "Group:victim" in refused.message


@pytest.mark.parametrize("groups", [{"producerGroup": "p"}, {"consumerGroup": "mine"}])
def test_hc8_unregistering_is_decided_by_the_client_id(world, groups):
    """A client id is unregistered by the user that registered it."""
    access = world.admit(signed(35, {"clientID": "victims", **groups}))

    assert access.pending
    with pytest.raises(Refused):
        access.require_owner("bob", "the client id `victims`")


def test_hc8_unregistering_names_somebody(world):
    """Without a client id, or without any group, unregistering is refused."""
    assert response_code(world.refusal(signed(35, producerGroup="p"))) == 16
    assert response_code(world.refusal(signed(35, clientID="c"))) == 16


def test_n1_lite_messages_are_read_with_sub_on_group_and_parent(world):
    """Popping lite messages needs Sub on the group and on the parent topic."""
    assert response_code(world.refusal(signed(200070, consumerGroup="mine", topic="victim", clientId="c"))) == 16
    assert response_code(world.refusal(signed(200070, consumerGroup="victim", topic="mine", clientId="c"))) == 16


def test_n2_every_lite_subscription_of_a_request_is_checked(world):
    """One entry that is the victim's refuses the request, whatever the action."""
    entries = [{"group": "mine", "topic": "mine"}, {"group": "mine", "topic": "victim", "action": "COMPLETE_REMOVE"}]
    body = json.dumps({"subscriptionSet": entries}).encode()

    assert "Topic:victim" in world.refusal(signed(200071, {}, body)).message


def test_n3_what_a_lite_pop_touches_must_be_asked(world):
    """The parent topic of what is popped is asked about, and the client id."""
    assert world.admit(signed(200070, consumerGroup="mine", topic="mine", clientId="c")).pending


def test_n8_a_lite_queue_belongs_to_its_parent_topic(world):
    """Reading a lite queue under its own name needs Sub on the parent, even where all topics are allowed."""
    world.allow("alice", "Topic:*", "Sub")
    world.deny("alice", "Topic:victim", "Sub")

    refused = world.refusal(signed(11, topic="%LMQ%$victim$lite", consumerGroup="mine"))

    assert "Topic:victim" in refused.message


@pytest.mark.parametrize("topic", ["SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "rmq_sys_wheel_timer"])
def test_topics_that_hold_all_messages_are_read_by_super_users_only(world, topic):
    """One topic has the delayed or half messages of all topics: a wide Sub does not allow it."""
    world.allow("alice", "Topic:*", "All")

    assert "only a Super user" in world.refusal(signed(11, topic=topic, consumerGroup="mine")).message
    world.admit(signed(11, topic=topic, consumerGroup="mine", user="root"))


def test_b8_a_disabled_user_is_refused(world):
    """Disabled means disabled, Super users included."""
    world.metadata.update_user("alice", status=type(world.metadata.get_user("alice").status).DISABLE)

    assert "User:alice is disabled." in world.refusal(signed(310, b="mine")).message


def test_b8_a_signature_of_one_code_under_another_gains_nothing(world):
    """The signature does not cover the code; what the other code needs is checked all the same."""
    world.allow("alice", "Cluster:DefaultCluster", "Get")
    get = signed(3004, username="bob")
    world.admit(get)
    get.code = 3003

    assert "Cluster:DefaultCluster" in world.refusal(get).message


def test_the_claimed_user_of_a_request_counts_for_nothing(world):
    """Identity fields that a client sends have no effect; the user of the signature counts."""
    command = signed(310, {"b": "victim", "x-mq-authorization-ak": "root", "rpc-remote-address": "1.1.1.1"})

    refused = world.refusal(command)

    assert "User:alice" in refused.message
    assert world.guard.denials.find(refused.decision_id).event.source == "10.1.2.3"


def test_an_unknown_code_is_for_super_users(world):
    """A code without a row is refused to all but Super users."""
    world.allow("alice", "*", "All")

    assert response_code(world.refusal(signed(4242))) == 16
    world.admit(signed(4242, user="root"))
