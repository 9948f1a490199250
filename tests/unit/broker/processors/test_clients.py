"""Heartbeats, membership of groups, locks of queues, and lists of clients."""

import gc
import json

import pytest

from mqguard.auth.resource import Resource
from mqguard.auth.user import Subject, UserStatus
from mqguard.broker import server
from mqguard.broker.processors import clients
from mqguard.engine.clients import CLIENT_LIFE_MS, NOTIFICATION_PAUSE_MS
from mqguard.engine.locks import LOCK_LIFE_MS
from mqguard.guard.errors import Refused
from mqguard.model.process import gc_disabled
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.codes import RequestCode, ResponseCode
from tests.unit.broker.conftest import House, acl


def beat(client="c1", groups=("g",), topics=("t",), expression="*", version=1, producers=(), kind="TAG", **more):
    return json.dumps(
        {
            "clientID": client,
            "consumerDataSet": [
                {
                    "groupName": group,
                    "consumeType": "CONSUME_PASSIVELY",
                    "messageModel": "CLUSTERING",
                    "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
                    "unitMode": False,
                    "subscriptionDataSet": [
                        {
                            "topic": topic,
                            "subString": expression,
                            "subVersion": version,
                            "tagsSet": [],
                            "codeSet": ["77"],
                            "expressionType": kind,
                            "classFilterMode": False,
                        }
                        for topic in topics
                    ],
                }
                for group in groups
            ],
            "producerDataSet": [{"groupName": name} for name in producers],
            **more,
        }
    ).encode()


def notices(wire):
    return [frame.ext for frame in wire.frames if frame.code == RequestCode.NOTIFY_CONSUMER_IDS_CHANGED]


def members(house, group="g"):
    answer = house.call(38, {"consumerGroup": group})
    return json.loads(answer.body)["consumerIdList"] if answer.code == 0 else answer.code


def test_a_forbidden_topic_or_group_stops_no_other_consumer(house):
    """The answer names both, and everything else of the heartbeat is in force."""
    bob = house.user("bob", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    for topic in ("t", "secret"):
        house.engine.topics.put(TopicConfig(topic))
    wire = house.connect()
    answer = house.call(34, body=beat(groups=("g", "other"), topics=("t", "secret")), wire=wire, user=bob)

    assert answer.code == ResponseCode.NO_PERMISSION
    assert "Topic:secret" in answer.remark
    assert "Group:other" in answer.remark
    assert members(house) == ["c1"]
    assert members(house, "other") == ResponseCode.SYSTEM_ERROR
    member = house.broker.clients.group("g").consumer(wire.peer.channel, bob)
    assert set(member.subscriptions) == {"t"}


def test_a_denied_heartbeat_is_freed_without_the_collector(house):
    """Its body has up to 256 KiB, and the collector may run late."""
    bob = house.user("bob")
    gc.collect()
    with gc_disabled():
        # Errors that other tests still keep do not count.
        before = refused_requests()
        answer = house.call(34, body=beat(), user=bob)
        kept = [one for one in refused_requests() if not any(one is other for other in before)]
    assert answer.code == ResponseCode.NO_PERMISSION
    assert not kept


def refused_requests():
    return [one for one in gc.get_objects() if isinstance(one, Refused)]


def test_a_heartbeat_creates_the_member_the_group_and_its_retry_topic(house):
    wire = house.connect()
    answer = house.call(34, body=beat(producers=["p", "CLIENT_INNER_PRODUCER"]), wire=wire)
    assert (answer.code, answer.version) == (0, 513)
    assert members(house) == ["c1"]
    assert house.engine.groups.get("g") is not None
    assert house.routes.route("%RETRY%g").queues["broker-a"].read_queues == 1
    assert [m.client.client_id for m in house.broker.clients.producers("p")] == ["c1"]


def test_a_heartbeat_is_in_force_for_later_requests_of_the_same_cycle(house):
    wire = house.connect()
    first, second = house.command(34, body=beat()), house.command(38, {"consumerGroup": "g"})
    house.give(wire, first, second)
    assert json.loads(wire.frames[0].body or wire.frames[1].body) == {"consumerIdList": ["c1"]}


def test_tag_codes_are_computed_from_the_filter(house):
    house.call(34, body=beat(expression="TagA || TagB"))
    (shown,) = json.loads(house.call(203, {"consumerGroup": "g"}).body)["subscriptionTable"].values()
    assert shown["codeSet"] == [2598919, 2598920]
    assert shown["tagsSet"] == ["TagA", "TagB"]


def test_all_members_are_notified_of_joins_and_leaves(house):
    first, second = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=first)
    assert notices(first) == [{"consumerGroup": "g"}]
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    house.call(34, body=beat("c2"), wire=second)
    assert (len(notices(first)), len(notices(second))) == (2, 1)
    assert first.frames[-1].is_oneway
    house.call(34, body=beat("c2"), wire=second)
    assert len(notices(first)) == 2
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    assert house.call(35, {"clientID": "c2", "consumerGroup": "g"}, wire=second).code == 0
    assert (len(notices(first)), len(notices(second))) == (3, 1)
    assert members(house) == ["c1"]


def test_members_are_notified_of_a_changed_subscription(house):
    first, second = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=first)
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    house.call(34, body=beat("c2"), wire=second)
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    house.call(34, body=beat("c2", expression="A", version=2), wire=second)
    assert len(notices(first)) == 3


def test_many_joins_at_once_cost_one_notification_each(house):
    wires = [house.connect() for _ in range(5)]
    for number, wire in enumerate(wires):
        house.app.commands(wire, [house.command(34, body=beat(f"c{number}"))])
    house.app.end_of_iteration()
    assert [len(notices(wire)) for wire in wires] == [1] * 5


def test_a_member_that_joins_and_leaves_repeatedly_costs_few_notifications(house):
    """The members also get the last change, after the pause."""
    first, second = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=first)
    for _ in range(100):
        house.call(34, body=beat("c2"), wire=second)
        house.call(35, {"clientID": "c2", "consumerGroup": "g"}, wire=second)
    assert len(notices(first)) == 1
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    house.tick(10 * NOTIFICATION_PAUSE_MS)
    assert len(notices(first)) == 2


def test_a_group_can_switch_notifications_off(house):
    house.engine.groups.put(SubscriptionGroupConfig("g", notify_changes=False))
    first, second = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=first)
    house.call(34, body=beat("c2"), wire=second)
    house.call(35, {"clientID": "c2", "consumerGroup": "g"}, wire=second)
    assert notices(first) == []


def test_a_closed_connection_removes_its_member(house):
    first, second = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=first)
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    house.call(34, body=beat("c2", producers=["p"]), wire=second)
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    house.disconnect(second)
    assert members(house) == ["c1"]
    assert len(notices(first)) == 3
    assert house.broker.clients.producers("p") == []


def test_a_client_without_heartbeats_is_removed_and_its_connection_closed(house):
    first, second = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=first)
    house.call(34, body=beat("c2"), wire=second)
    house.clock.now += CLIENT_LIFE_MS - 1
    house.call(34, body=beat("c1"), wire=first)
    house.tick(1)
    house.tick(10_000)
    assert members(house) == ["c1"]
    assert second.closed
    assert not first.closed
    assert len(notices(first)) == 3


def test_an_unknown_group_has_no_members(house):
    answer = house.call(38, {"consumerGroup": "g"})
    assert answer.code == ResponseCode.SYSTEM_ERROR
    assert answer.remark == "no consumer for this group, g"


def test_a_heartbeat_creates_no_group_if_the_operator_forbids_it():
    house = House(engine={"auto_create_group": False})
    assert house.call(34, body=beat()).code == 0
    assert members(house) == ResponseCode.SYSTEM_ERROR


def test_a_heartbeat_without_subscriptions_keeps_them(house):
    wire = house.connect()
    house.call(34, body=beat(), wire=wire)
    house.call(34, body=beat(topics=(), withoutSub=True), wire=wire)
    assert house.broker.clients.subscription("g", "t") is not None


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b'{"consumerDataSet":[{}],"clientID":"c"}', b'{"clientID":7}']
)
def test_an_invalid_heartbeat_is_refused(house, open_house, body):
    house.user("alice")
    assert house.call(34, body=body, user="alice").code != 0 or body == b'{"clientID":7}'
    answer = open_house.call(34, body=body, user=None)
    if answer.code:
        assert answer.code == ResponseCode.INVALID_PARAMETER
        assert answer.remark.startswith("body")


def test_two_users_may_have_the_same_client_id(house):
    """Neither takes, unregisters or locks out the client of the other."""
    for name in ("alice", "mallory"):
        house.user(name, ("Topic:*", "Sub"), ("Group:*", "Sub"))
    mine, other = house.connect(), house.connect()
    assert house.call(34, body=beat("c1", groups=["mine"], producers=["p"]), wire=other, user="mallory").code == 0
    assert house.call(34, body=beat("c1", producers=["p"]), wire=mine, user="alice").code == 0
    assert locked(house.call(41, body=lock("c1"), wire=mine, user="alice")) == [0, 1]
    for code, ext, body in [
        (34, {}, beat("c1")),
        (35, {"clientID": "c1", "consumerGroup": "g"}, b""),
        (35, {"clientID": "c1", "producerGroup": "p"}, b""),
        (41, {}, lock("c1")),
        (42, {}, lock("c1")),
    ]:
        assert house.call(code, ext, body, wire=other, user="mallory").code == 0
    assert members(house) == ["c1"]
    assert len(house.broker.clients.producers("p")) == 1
    assert locked(house.call(41, body=lock("c1"), user="mallory")) == []
    assert locked(house.call(41, body=lock("c1"), wire=mine, user="alice")) == [0, 1]


def test_a_request_about_a_client_id_reaches_the_oldest_client_with_it(house):
    """Except that a user's question about an id of its own reaches its own client."""
    for name in ("alice", "mallory"):
        house.user(name, ("Topic:*", "Sub"), ("Group:g", "Sub,Get"))
    mine, other = house.connect(), house.connect()
    for wire, user in ((mine, "alice"), (other, "mallory")):
        house.call(34, body=beat("c1"), wire=wire, user=user)
        house.clock.now += 1
    ext = {"consumerGroup": "g", "clientId": "c1", "jstackEnable": "false"}
    for user, asked, silent in (("root", mine, other), ("alice", mine, other), ("mallory", other, mine)):
        before = len(asked.frames), len(silent.frames)
        assert house.call(307, ext, user=user) is None
        assert (len(asked.frames), len(silent.frames)) == (before[0] + 1, before[1])
        assert asked.frames[-1].code == 307


def test_a_user_cannot_unregister_another_user_of_the_same_connection(house):
    for name in ("alice", "mallory"):
        house.user(name, ("Topic:*", "Sub"), ("Group:*", "Sub"))
    wire = house.connect()
    house.call(34, body=beat("c1"), wire=wire, user="alice")
    assert house.call(35, {"clientID": "c1", "consumerGroup": "g"}, wire=wire, user="mallory").code == 16
    assert members(house) == ["c1"]


def test_a_user_with_much_state_leaves_others_their_share(monkeypatch):
    monkeypatch.setattr(server, "MAX_UNITS", 112)
    house = House()
    for name in ("greedy", "alice"):
        house.user(name, ("Topic:*", "Sub"), ("Group:*", "Sub"))
    topics = [f"t{number}" for number in range(24)]
    codes = [house.call(34, body=beat(topics=topics, groups=[f"g{n}"]), user="greedy").code for n in range(5)]
    assert codes == [0, 0, 0, 0, ResponseCode.SYSTEM_BUSY]
    assert house.call(34, body=beat(topics=topics), user="alice").code == 0
    assert house.call(34, body=beat(producers=["p"], groups=()), user="greedy").code == ResponseCode.SYSTEM_BUSY


def test_a_heartbeat_without_room_is_refused_unless_it_changes_nothing(monkeypatch):
    monkeypatch.setattr(server, "MAX_UNITS", 6)
    house = House()
    wire = house.connect()
    assert house.call(34, body=beat("c1"), wire=wire).code == 0
    assert house.call(34, body=beat("c1"), wire=wire).code == 0
    assert house.call(34, body=beat("c1", groups=["g", "h"]), wire=wire).code == ResponseCode.SYSTEM_BUSY
    assert [group.name for group in house.broker.clients.groups()] == ["g"]
    house.disconnect(wire)
    assert house.call(34, body=beat("c1", groups=["h"])).code == 0


def test_a_client_unregisters_only_over_its_own_connection(house):
    mine, other = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=mine)
    assert house.call(35, {"clientID": "c1", "consumerGroup": "g"}, wire=other).code == 0
    assert members(house) == ["c1"]


def test_heartbeats_are_guarded_by_group_and_topics(house):
    house.user("alice", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    assert house.call(34, body=beat(), user="alice").code == 0
    for body in (beat(groups=["other"]), beat(topics=["t", "secret"]), beat(topics=["%RETRY%other"])):
        assert house.call(34, body=body, user="alice").code == ResponseCode.NO_PERMISSION
    assert house.call(34, body=beat(topics=["t", "%RETRY%g"]), user="alice").code == 0


def lock(client, group="g", queues=(0, 1), topic="BenchmarkTest", broker="broker-a"):
    queue_set = [{"topic": topic, "brokerName": broker, "queueId": queue} for queue in queues]
    return json.dumps({"clientId": client, "consumerGroup": group, "mqSet": queue_set}).encode()


def locked(answer):
    return sorted(queue["queueId"] for queue in json.loads(answer.body)["lockOKMQSet"])


def test_queues_are_locked_for_one_client(house):
    assert locked(house.call(41, body=lock("c1", queues=(0,)))) == [0]
    assert locked(house.call(41, body=lock("c2"))) == [1]
    assert house.call(42, body=lock("c1")).code == 0
    assert locked(house.call(41, body=lock("c2"))) == [0, 1]


def test_only_queues_that_exist_are_locked(house):
    assert locked(house.call(41, body=lock("c1", queues=(-1, 15, 16)))) == [15]
    assert locked(house.call(41, body=lock("c1", topic="nowhere"))) == []
    assert locked(house.call(41, body=lock("c1", broker="broker-b"))) == []


def test_the_groups_of_a_connection_are_limited(house, monkeypatch):
    monkeypatch.setattr(clients, "MAX_GROUPS", 3)
    wire = house.connect()
    assert house.call(34, body=beat(producers=["p", "q", "r", "s"], groups=()), wire=wire).code == 29
    for name in "pqrs":
        assert house.call(34, body=beat(producers=[name], groups=()), wire=wire).code == 0
    assert house.call(34, body=beat(producers=["t"], groups=()), wire=wire).code == 29


@pytest.mark.parametrize("change", [{"client": "x" * 600}, {"producers": ["x" * 600]}])
def test_names_that_need_no_permission_are_short(house, change):
    house.user("alice")
    body = beat(**{"client": "c", "producers": ["p"], "groups": (), **change})
    answer = house.call(34, body=body, user="alice")
    assert answer.code == ResponseCode.NO_PERMISSION
    assert "names nothing" in answer.remark
    assert house.broker.clients.all_producers() == {}


def test_a_lock_expires_without_renewal(house):
    house.call(41, body=lock("c1"))
    house.tick(LOCK_LIFE_MS)
    assert locked(house.call(41, body=lock("c2"))) == [0, 1]


def test_a_deleted_group_has_no_locks(house):
    house.engine.groups.put(SubscriptionGroupConfig("g"))
    house.call(41, body=lock("c1"))
    assert house.call(207, {"groupName": "g"}).code == 0
    assert locked(house.call(41, body=lock("c2"))) == [0, 1]


@pytest.mark.parametrize(
    ("has_sql", "kind", "expression", "code", "remark"),
    [
        (False, "TAG", "x", 0, ""),
        (False, "SQL92", "a = 5", 1, "The broker does not support consumer to filter message by SQL92"),
        (False, "OTHER", "a = 5", 1, "The broker does not support consumer to filter message by OTHER"),
        (True, "TAG", "a >", 0, ""),
        (True, None, "a >", 0, ""),
        (True, "SQL92", "a = 5", 0, ""),
        (True, "SQL92", "a >", ResponseCode.SUBSCRIPTION_PARSE_FAILED, "character 4: expected"),
        (True, "SQL92", "", ResponseCode.SUBSCRIPTION_PARSE_FAILED, "character 1: expected"),
        (True, "OTHER", "a = 5", ResponseCode.SUBSCRIPTION_PARSE_FAILED, "unknown type OTHER"),
    ],
)
def test_a_filter_is_checked(has_sql, kind, expression, code, remark):
    house = House(engine={"property_filter": has_sql})
    wanted = {"topic": "t", "subString": expression, "expressionType": kind}
    body = {"clientId": "c", "group": "g", "subscriptionData": wanted}
    answer = house.call(46, body=json.dumps(body).encode())
    assert answer.code == code
    assert remark in (answer.remark or "")


def test_messages_sent_back_by_an_ordered_group_become_dead_letters(house):
    house.engine.groups.with_retry_topic("g")
    house.engine.group_commit.commit()
    back = {"a": "g", "b": "%RETRY%g", "c": "TBW102", "d": 1, "e": 0, "f": 0, "g": 1, "h": 0, "j": 1, "l": 16}
    assert house.call(310, back, b"again").code == 0
    assert house.call(41, body=lock("c1")).code == 0
    assert house.call(310, back, b"dead").code == 0
    house.clock.now += LOCK_LIFE_MS
    assert house.call(310, back, b"again").code == 0
    assert len(house.engine.fetch("%RETRY%g", 0, 0, 32, 0).records) == 2
    assert len(house.engine.fetch("%DLQ%g", 0, 0, 32, 0).records) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"client": "c" * 256},
        {"groups": ["g" * 256]},
        {"topics": ["t" * 256]},
        {"topics": [f"t{number}" for number in range(1_001)]},
        {"expression": "A" * 17_000},
        {"expression": "A" * 16_384, "topics": [f"t{number}" for number in range(17)]},
        {"expression": "A" * 16_384, "groups": [f"g{number}" for number in range(17)]},
        {"producers": ["p", "p" * 256]},
    ],
)
def test_a_heartbeat_that_is_too_large_is_refused_completely(house, said):
    answer = house.call(34, body=beat(**said))
    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert len(answer.remark) < 200
    assert list(house.broker.clients.groups()) == []
    assert house.broker.clients.all_producers() == {}


def test_a_group_can_have_hundreds_of_topics_with_filters(house):
    topics = [f"t{number}" for number in range(900)]
    answer = house.call(34, body=beat(topics=topics, expression=" || ".join(["some-tag-of-ours"] * 13)))
    assert answer.code == 0
    assert len(house.broker.clients.group("g").subscriptions) == 900


def test_distinct_filters_have_a_lower_limit(house):
    """Every one of them is split and hashed, while all others wait."""
    said = json.loads(beat(topics=["t1", "t2", "t3", "t4"]))
    for number, one in enumerate(said["consumerDataSet"][0]["subscriptionDataSet"]):
        one["subString"] = f"{number}" * 10_000
    answer = house.call(34, body=json.dumps(said).encode())
    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert "the distinct filters of all topics together have more than 32768 characters" in answer.remark


def test_one_heartbeat_creates_some_groups_and_later_ones_the_rest(house):
    said = {"clientID": "c", "consumerDataSet": [{"groupName": f"new{number}"} for number in range(80)]}
    created = []
    for _ in range(3):
        assert house.call(34, body=json.dumps(said).encode()).code == 0
        created.append(sum(house.engine.groups.get(f"new{number}") is not None for number in range(80)))
    assert created == [32, 64, 80]


def test_the_names_of_a_consumer_are_short(house):
    for member in ("consumeType", "messageModel", "consumeFromWhere"):
        said = json.loads(beat())
        said["consumerDataSet"][0][member] = "x" * 256
        assert house.call(34, body=json.dumps(said).encode()).code == ResponseCode.INVALID_PARAMETER


def test_a_lock_cannot_have_a_name_of_megabytes(house):
    queue = {"topic": "t", "brokerName": "broker-a", "queueId": 0}
    body = json.dumps({"consumerGroup": "g", "clientId": "c" * 256, "mqSet": [queue]}).encode()
    assert house.call(41, body=body).code == ResponseCode.INVALID_PARAMETER


def _lose_rights(house):
    house.manager.delete_acl(Subject("alice"))


def _lose_a_topic(house):
    house.manager.delete_acl(Subject("alice"), resource=Resource.parse("Topic:t"))


def _be_disabled(house):
    house.manager.update_user("alice", status=UserStatus.DISABLE)


def _be_replaced(house):
    house.manager.delete_user("alice")
    house.user("alice", ("Topic:t", "Sub"), ("Group:g", "Sub"))


@pytest.mark.parametrize("lose", [_lose_rights, _lose_a_topic, _be_disabled, _be_replaced])
def test_a_client_that_loses_its_permission_leaves_the_group_and_its_locks(house, lose):
    house.engine.topics.put(TopicConfig("t", 1, 1))
    house.user("alice", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    house.user("bob", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    theirs, ours = house.connect(), house.connect()
    house.call(34, body=beat("a"), wire=theirs, user="alice")
    house.call(34, body=beat("b"), wire=ours, user="bob")
    assert _locked(house, theirs, "a", "alice") == 1
    assert _locked(house, ours, "b", "bob") == 0

    house.tick(50)
    assert members(house) == ["a", "b"]
    lose(house)
    assert _locked(house, ours, "b", "bob") == 1
    told = len(notices(theirs)), len(notices(ours))
    assert members(house) == ["b"]
    house.tick(NOTIFICATION_PAUSE_MS)
    assert len(notices(theirs)) == told[0]
    assert len(notices(ours)) > told[1]


def test_a_client_that_keeps_its_permission_stays_in_the_group(house):
    house.engine.topics.put(TopicConfig("t", 1, 1))
    house.user("alice", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    wire = house.connect()
    house.call(34, body=beat("a", producers=["p"]), wire=wire, user="alice")
    assert _locked(house, wire, "a", "alice") == 1
    house.user("bob", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    house.manager.update_user("alice", "another-secret")
    house.manager.create_acl(acl("alice", ("Topic:u", "Sub")))
    house.tick(50)
    assert members(house) == ["a"]
    assert _locked(house, house.connect(), "b", "bob") == 0


def _locked(house, wire, client, user):
    queue = {"topic": "t", "brokerName": "broker-a", "queueId": 0}
    body = json.dumps({"consumerGroup": "g", "clientId": client, "mqSet": [queue]}).encode()
    return len(json.loads(house.call(41, body=body, wire=wire, user=user).body)["lockOKMQSet"])


def test_consumers_of_a_group_are_listed(house):
    answer = house.call(203, {"consumerGroup": "g"})
    assert answer.code == ResponseCode.CONSUMER_NOT_ONLINE
    assert answer.remark == "the consumer group[g] not online"
    house.call(34, body=beat(expression="A"))
    shown = json.loads(house.call(203, {"consumerGroup": "g"}).body)
    (connection,) = shown["connectionSet"]
    assert connection["clientId"] == "c1"
    assert connection["language"] == "JAVA"
    assert connection["version"] == 513
    assert connection["clientAddr"].startswith("127.0.0.1:")
    assert shown["subscriptionTable"]["t"]["subString"] == "A"
    assert (shown["consumeType"], shown["messageModel"]) == ("CONSUME_PASSIVELY", "CLUSTERING")


def test_producers_are_listed(house):
    assert house.call(204, {"producerGroup": "p"}).code == ResponseCode.SYSTEM_ERROR
    house.call(34, body=beat(groups=(), producers=["p"]))
    (connection,) = json.loads(house.call(204, {"producerGroup": "p"}).body)["connectionSet"]
    assert connection["clientId"] == "c1"
    (producer,) = json.loads(house.call(328).body)["data"]["p"]
    assert producer["lastUpdateTimestamp"] == house.clock.now
    assert set(producer) == {"clientId", "remoteIP", "language", "version", "lastUpdateTimestamp"}


def test_lists_of_clients_are_guarded(house):
    house.user("alice", ("Topic:*", "All"), ("Group:mine", "All"))
    for code, ext in [(203, {"consumerGroup": "g"}), (204, {"producerGroup": "p"}), (328, {})]:
        assert house.call(code, ext, user="alice").code == ResponseCode.NO_PERMISSION
