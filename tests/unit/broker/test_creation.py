"""Permissions to create and change topics and groups, and the limits of their number."""

import json

import pytest

from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House

TOPIC = {
    "defaultTopic": "TBW102",
    "readQueueNums": 4,
    "writeQueueNums": 4,
    "perm": 6,
    "topicFilterType": "SINGLE_TAG",
    "topicSysFlag": 0,
    "order": "false",
}
PULL = {
    "topic": "t",
    "queueId": 0,
    "queueOffset": 0,
    "maxMsgNums": 32,
    "sysFlag": 4,
    "commitOffset": 0,
    "suspendTimeoutMillis": 0,
    "subVersion": 0,
    "subscription": "*",
}


def put_topics(house, user, *names, code=17, **change):
    if code == 17:
        return house.call(17, {**TOPIC, "topic": names[0], **change}, user=user)
    configs = [{"topicName": name, **change} for name in names]
    return house.call(18, body=json.dumps({"topicConfigList": configs}).encode(), user=user)


def put_groups(house, user, *names, code=200, **change):
    configs = [{"groupName": name, **change} for name in names]
    body = configs[0] if code == 200 else {"groupConfigList": configs}
    return house.call(code, body=json.dumps(body).encode(), user=user)


def topic_of(house, name):
    return house.engine.topics.get(name)


@pytest.mark.parametrize("code", [17, 18])
def test_an_existing_topic_needs_update_and_a_new_one_needs_create(house, code):
    house.user("maker", ("Topic:*", "Create"))
    house.user("changer", ("Topic:*", "Update"))

    assert put_topics(house, "maker", "t", code=code).code == 0
    refused = put_topics(house, "maker", "t", code=code, perm=0)
    assert refused.code == ResponseCode.NO_PERMISSION
    assert refused.remark.startswith("topic[t] exists, and changing it needs the action Update: ")
    assert topic_of(house, "t").perm == 6
    assert put_topics(house, "changer", "t", code=code, perm=4).code == 0
    assert topic_of(house, "t").perm == 4
    refused = put_topics(house, "changer", "u", code=code)
    assert refused.code == ResponseCode.NO_PERMISSION
    assert refused.remark.startswith("topic[u] is new, and creating it needs the action Create: ")
    assert topic_of(house, "u") is None


@pytest.mark.parametrize("code", [200, 225])
def test_an_existing_group_needs_update_and_a_new_one_needs_create(house, code):
    house.user("maker", ("Group:*", "Create"))
    house.user("changer", ("Group:*", "Update"))

    assert put_groups(house, "maker", "g", code=code).code == 0
    refused = put_groups(house, "maker", "g", code=code, consumeEnable=False)
    assert (refused.code, refused.remark[:9]) == (ResponseCode.NO_PERMISSION, "group[g] ")
    assert house.engine.groups.get("g").consume_enable
    assert put_groups(house, "changer", "g", code=code, consumeEnable=False).code == 0
    assert not house.engine.groups.get("g").consume_enable
    assert put_groups(house, "changer", "h", code=code).code == ResponseCode.NO_PERMISSION
    assert house.engine.groups.get("h") is None


def test_a_list_changes_nothing_if_one_item_is_refused(house):
    house.user("maker", ("*", "Create"))
    house.user("other", ("*", "Create"))
    put_topics(house, "other", "b")
    put_groups(house, "other", "b")

    assert put_topics(house, "maker", "a", "b", "c", code=18).code == ResponseCode.NO_PERMISSION
    assert put_groups(house, "maker", "a", "b", "c", code=225).code == ResponseCode.NO_PERMISSION
    assert [topic_of(house, name) for name in ("a", "c")] == [None, None]
    assert [house.engine.groups.get(name) for name in ("a", "c")] == [None, None]


def test_offsets_are_copied_to_a_new_group_only_with_create(house):
    house.user("cloner", ("Group:*", "Get,Update"), ("Topic:*", "Update"))
    house.engine.groups.find("g")
    ext = {"srcGroup": "g", "destGroup": "h", "topic": "TBW102"}

    assert house.call(314, ext, user="cloner").code == ResponseCode.NO_PERMISSION
    assert house.engine.groups.get("h") is None
    house.engine.groups.find("h")
    assert house.call(314, ext, user="cloner").code == 0


def test_a_read_creates_nothing(house):
    """The answer is what consuming would find: proxies refuse clients of a group that is answered as missing."""
    house.user("reader", ("Group:*", "Get"))

    answer = house.call(352, {"group": "new"}, user="reader")

    assert (answer.code, json.loads(answer.body)["groupName"]) == (0, "new")
    assert house.engine.groups.get("new") is None
    assert not house.engine.group_commit.pending
    closed = House(engine={"auto_create_group": False})
    assert closed.call(352, {"group": "new"}).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST


@pytest.fixture
def small():
    """Return a broker with room for 4 topics and groups, 2 for each user."""
    limits = {"max_topics": 4, "max_topics_per_user": 2, "max_groups": 4, "max_groups_per_user": 2}
    house = House(engine=limits)
    for name in ("alice", "bob", "carol"):
        house.user(name, ("*", "Create,Update,Delete,Pub,Sub"))
    house.engine.topics.put(TopicConfig("t"))
    house.engine.topics.delete("t")
    house.engine.group_commit.commit()
    return house


def send(house, user, topic):
    ext = {
        "producerGroup": "p",
        "topic": topic,
        "defaultTopic": "TBW102",
        "defaultTopicQueueNums": 4,
        "queueId": 0,
        "sysFlag": 0,
        "bornTimestamp": 1,
        "flag": 0,
        "reconsumeTimes": 0,
        "unitMode": "false",
        "batch": "false",
    }
    return house.call(10, ext, b"x", user=user)


def test_the_topics_of_a_user_are_limited(small):
    """Created by an administrator's request, by a list or by sending; a Super user is not bounded so."""
    assert put_topics(small, "alice", "a1").code == 0
    assert send(small, "alice", "a2").code == 0
    for refused in (
        put_topics(small, "alice", "a3"),
        put_topics(small, "alice", "a3", code=18),
        send(small, "alice", "a3"),
    ):
        assert refused.code == ResponseCode.SERVICE_NOT_AVAILABLE
        assert refused.remark == (
            "`a3` cannot be created: User:alice has created 2 topics, and at most 2 are allowed for a user "
            "(`maxTopicsPerUser`)"
        )
    assert put_topics(small, "alice", "a1", perm=4).code == 0, "what exists is changed"
    assert put_topics(small, "bob", "a1", perm=6).code == 0
    assert topic_of(small, "a1").creator == "alice", "whoever changes it"
    assert small.call(215, {"topic": "a1"}, user="bob").code == 0
    assert put_topics(small, "alice", "a3").code == 0, "what is gone makes room"


def test_all_topics_together_are_limited(small):
    for user, name in (("alice", "a"), ("bob", "b"), ("root", "c"), ("root", "d")):
        assert put_topics(small, user, name).code == 0
    for user in ("carol", "root"):
        refused = put_topics(small, user, "e")
        assert refused.code == ResponseCode.SERVICE_NOT_AVAILABLE
        assert "there are 4 topics, and at most 4 are allowed (`maxTopics`)" in refused.remark
    assert put_groups(small, "root", "g").code == 0, "retry topics count with their groups"


def heartbeat(house, user, *groups):
    consumers = [{"groupName": group, "subscriptionDataSet": []} for group in groups]
    body = json.dumps({"clientID": user, "consumerDataSet": consumers}).encode()
    return house.call(34, body=body, user=user)


def test_the_groups_of_a_user_are_limited(small):
    """Created by an administrator's request, a heartbeat, a pull or a position."""
    small.engine.topics.put(TopicConfig("t"))
    small.engine.group_commit.commit()
    assert put_groups(small, "alice", "a1").code == 0
    assert heartbeat(small, "alice", "a2", "a3").code == 0
    assert small.engine.groups.get("a2").creator == "alice"
    for refused in (
        put_groups(small, "alice", "a3"),
        small.call(11, {**PULL, "consumerGroup": "a3"}, user="alice"),
        small.call(15, {"consumerGroup": "a3", "topic": "t", "queueId": 0, "commitOffset": 0}, user="alice"),
    ):
        assert refused.code == ResponseCode.SERVICE_NOT_AVAILABLE
        assert "User:alice has created 2 consumer groups" in refused.remark
    assert small.engine.groups.get("a3") is None
    assert small.broker.clients.group("a3") is None
    assert small.call(207, {"groupName": "a1"}, user="alice").code == 0
    assert small.call(11, {**PULL, "consumerGroup": "a3"}, user="alice").code != ResponseCode.SERVICE_NOT_AVAILABLE
    assert small.engine.groups.get("a3").creator == "alice"


def test_all_groups_together_are_limited(small):
    for name in "abcd":
        assert put_groups(small, "root", name).code == 0
    refused = put_groups(small, "bob", "e")
    assert refused.code == ResponseCode.SERVICE_NOT_AVAILABLE
    assert "at most 4 are allowed (`maxSubscriptionGroups`)" in refused.remark


def test_a_creation_that_is_undone_does_not_count(small):
    for _ in range(3):
        small.engine.topics.put(TopicConfig("a"), "alice")
        small.engine.topics.put(TopicConfig("b"), "alice")
        small.store.failure = "full"
        assert not small.engine.group_commit.commit()
        small.store.failure = None
        assert topic_of(small, "a") is None
    assert put_topics(small, "alice", "a").code == 0
    assert put_topics(small, "alice", "b").code == 0
    assert put_topics(small, "alice", "c").code == ResponseCode.SERVICE_NOT_AVAILABLE


def test_the_counts_are_persistent():
    house = House(engine={"max_topics_per_user": 2, "max_groups_per_user": 2})
    for name in ("a", "b"):
        house.engine.topics.put(TopicConfig(name), "alice")
        house.engine.groups.find(name, "alice")
    house.engine.group_commit.commit()

    again = type(house.engine)(house.store, house.engine.settings, house.clock)

    for table in (again.topics, again.groups):
        assert table.get("a").creator == "alice"
        with pytest.raises(Exception, match="User:alice has created 2"):
            table.put(type(table.get("a"))("c"), "alice")


def test_anonymous_creations_count_only_in_the_total():
    open_house = House(auth=False, engine={"max_topics_per_user": 0})
    assert put_topics(open_house, None, "t").code == 0
    assert topic_of(open_house, "t").creator is None
