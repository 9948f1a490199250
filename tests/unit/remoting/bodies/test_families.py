"""Every typed body: its form on the wire is that of the Java classes."""

import pytest

from mqguard.model.topic import DataVersion, SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.bodies import access, clients, groups, topics
from mqguard.remoting.bodies.codec import MessageQueue, decode, encode

MQ = MessageQueue("T", "b", 3)
SUBSCRIPTION = clients.SubscriptionData("T", "TagA", ["TagA"], [2598919], 1, "TAG", class_filter_mode=False)

VECTORS = [
    (
        b'{"cluster":"c","brokerName":"b","brokerAddrs":{"0":"10.0.0.1:10911","1":"h:2"},"enableActingMaster":false}',
        topics.BrokerData("c", "b", {0: "10.0.0.1:10911", 1: "h:2"}),
    ),
    (
        (
            b'{"brokerAddrTable":{"b":{"cluster":"c","brokerName":"b","brokerAddrs":{"0":"a:1"},"enableActingMaster":true,'
            b'"zoneName":"z"}},"clusterAddrTable":{"c":["b"]}}'
        ),
        topics.ClusterInfo({"b": topics.BrokerData("c", "b", {0: "a:1"}, True, "z")}, {"c": ["b"]}),
    ),
    (b'{"topicList":["a","b"]}', topics.TopicList(["a", "b"])),
    (b'{"table":{"k":"v"}}', topics.KvBody({"k": "v"})),
    (b'{"groupList":["g"]}', topics.GroupList(["g"])),
    (b'{"consumerIdList":["c1","c2"]}', clients.ConsumerIdList(["c1", "c2"])),
    (
        (
            b'{"consumerGroup":"g","clientId":"c","mqSet":[{"topic":"T","brokerName":"b","queueId":3}],'
            b'"onlyThisBroker":false}'
        ),
        clients.LockBatch("g", "c", [MQ]),
    ),
    (
        (
            b'{"offsetTable":{{"topic":"T","brokerName":"b","queueId":3}:{"minOffset":1,"maxOffset":2,'
            b'"lastUpdateTimestamp":3}},"topicPutTps":0.0}'
        ),
        topics.TopicStats({MQ: topics.QueueStats(1, 2, 3)}),
    ),
    (
        (
            b'{"offsetTable":{{"topic":"T","brokerName":"b","queueId":3}:{"brokerOffset":4,"consumerOffset":3,'
            b'"pullOffset":4,"lastTimestamp":9}},"consumeTps":0.5}'
        ),
        groups.ConsumeStats({MQ: groups.QueueProgress(4, 3, 4, 9)}, 0.5),
    ),
    (b'{"offsetTable":{{"topic":"T","brokerName":"b","queueId":3}:12}}', groups.ResetOffsets({MQ: 12})),
    (
        b'{"offsetTable":[{"topic":"T","brokerName":"b","queueId":3,"offset":12}]}',
        groups.ResetOffsetsForCpp([groups.QueueOffset("T", "b", 3, 12)]),
    ),
    (
        b'{"messageQueueTable":{},"consumerTable":{"c":{{"topic":"T","brokerName":"b","queueId":3}:1}}}',
        groups.ConsumerStatus({}, {"c": {MQ: 1}}),
    ),
    (
        (
            b'{"connectionSet":[{"clientId":"c","clientAddr":"1.2.3.4:5","language":"GO","version":317}],'
            b'"subscriptionTable":{"T":{"topic":"T","subString":"TagA","tagsSet":["TagA"],"codeSet":[2598919],'
            b'"subVersion":1,"expressionType":"TAG","classFilterMode":false}},"consumeType":"CONSUME_PASSIVELY",'
            b'"messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET"}'
        ),
        clients.ConsumerConnection([clients.ConnectionInfo("c", "1.2.3.4:5", "GO", 317)], {"T": SUBSCRIPTION}),
    ),
    (
        (
            b'{"data":{"g":[{"clientId":"c","remoteIP":"1.2.3.4","language":"JAVA","version":513,'
            b'"lastUpdateTimestamp":9}]}}'
        ),
        clients.ProducerTable({"g": [clients.ProducerInfo("c", "1.2.3.4", "JAVA", 513, 9)]}),
    ),
    (
        b'{"messageQueueAssignments":[{"messageQueue":{"topic":"T","brokerName":"b","queueId":3},"mode":"PULL"}]}',
        clients.Assignments([clients.Assignment(MQ)]),
    ),
    (
        b'{"brokerName":"b","acks":[{"c":"g","t":"T","r":"0","so":5,"q":3,"rq":1,"pt":9,"it":60000,"b":"Aw=="}]}',
        clients.BatchAck("b", [clients.AckGroup("g", "T", "0", 5, 3, 1, 9, 60000, "Aw==")]),
    ),
    (
        (
            b'{"subject":"User:alice","policies":[{"policyType":"Custom","entries":[{"resource":"Topic:a*",'
            b'"actions":["Pub","Sub"],"sourceIps":["192.168.0.0/24"],"decision":"Allow"}]}]}'
        ),
        access.AclInfo(
            "User:alice",
            [access.PolicyInfo("Custom", [access.EntryInfo("Topic:a*", ["Pub", "Sub"], ["192.168.0.0/24"], "Allow")])],
        ),
    ),
    (
        b'{"username":"a","password":"p","userType":"Super","userStatus":"enable"}',
        access.UserInfo("a", "p", "Super", "enable"),
    ),
]


@pytest.mark.parametrize(("text", "body"), VECTORS, ids=lambda value: type(value).__name__)
def test_it_is_written_and_read_in_its_form(text: bytes, body: object) -> None:
    assert encode(body) == text
    assert decode(text, type(body)) == body


def test_the_route_of_an_old_server_is_read() -> None:
    text = b'{"brokerDatas":[{"brokerAddrs":{0:"a:1"},"brokerName":"b","cluster":"c"}],"queueDatas":[]}'
    assert decode(text, topics.TopicRouteData).broker_datas[0].broker_addrs == {0: "a:1"}


def test_a_java_heartbeat_is_read() -> None:
    text = (
        b'{"clientID":"10.0.0.1@7#1","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":'
        b'"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":'
        b'false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA","subVersion":1,"tagsSet":["TagA"],'
        b'"topic":"T"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":'
        b'"CLIENT_INNER_PRODUCER"}],"withoutSub":false}'
    )
    heartbeat = decode(text, clients.HeartbeatData)
    assert (heartbeat.client_id, heartbeat.without_sub) == ("10.0.0.1@7#1", False)
    assert [producer.group_name for producer in heartbeat.producer_data_set] == ["CLIENT_INNER_PRODUCER"]
    assert heartbeat.consumer_data_set == [clients.ConsumerData("g", subscription_data_set=[SUBSCRIPTION])]


def test_a_go_heartbeat_is_read() -> None:
    text = (
        b'{"clientId":"ignored","clientID":"c","producerDataSet":null,"consumerDataSet":[{"groupName":"g",'
        b'"consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET",'
        b'"subscriptionDataSet":[{"classFilterMode":false,"topic":"T","subString":"TagA","tagsSet":["TagA"],'
        b'"codeSet":["2598919"],"subVersion":1,"expressionType":"TAG"}],"unitMode":false}]}'
    )
    heartbeat = decode(text, clients.HeartbeatData)
    assert heartbeat.producer_data_set == []
    assert heartbeat.consumer_data_set[0].subscription_data_set == [SUBSCRIPTION]


def test_a_shared_subscription_of_an_old_client_is_read() -> None:
    text = (
        b'{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":[{"topic":"T","subString":"*"}]},'
        b'{"groupName":"h","subscriptionDataSet":[{"$ref":"$.consumerDataSet[0].subscriptionDataSet[0]"}]}]}'
    )
    heartbeat = decode(text, clients.HeartbeatData)
    assert [data.subscription_data_set[0].topic for data in heartbeat.consumer_data_set] == ["T", "T"]


def test_without_sub_is_read() -> None:
    assert decode(b'{"clientID":"c","withoutSub":true}', clients.HeartbeatData).without_sub


def test_topics_and_groups_come_back_as_they_were() -> None:
    topic = TopicConfig("T", 4, 8, 6, "SINGLE_TAG", 0, order=True, attributes={"message.type": "FIFO"})
    body = topics.TopicConfigBody.of(topic)
    assert encode(body) == (
        b'{"topicName":"T","readQueueNums":4,"writeQueueNums":8,"perm":6,"topicFilterType":"SINGLE_TAG",'
        b'"topicSysFlag":0,"order":true,"attributes":{"message.type":"FIFO"}}'
    )
    assert decode(encode(body), topics.TopicConfigBody).value() == topic

    group = SubscriptionGroupConfig("g", consume_orderly=True, retry_policy={"type": "CUSTOMIZED"}, broker_id=1)
    assert decode(encode(groups.GroupConfigBody.of(group)), groups.GroupConfigBody).value() == group


def test_tables_carry_their_version() -> None:
    version = DataVersion(3, 1700000000000)
    table = topics.TopicTable.of([TopicConfig("T")], version)
    assert encode(table).endswith(b'"dataVersion":{"counter":3,"stateVersion":0,"timestamp":1700000000000}}')
    assert decode(encode(table), topics.TopicTable).data_version.value() == version
    all_groups = groups.GroupTable.of([SubscriptionGroupConfig("g")], version)
    assert set(decode(encode(all_groups), groups.GroupTable).subscription_group_table) == {"g"}


def test_a_group_of_mqadmin_is_read() -> None:
    """The body of `updateSubGroup` includes the retry policy."""
    text = (
        b'{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,'
        b'"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"g","groupRetryPolicy":{"type":'
        b'"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":3,"retryQueueNums":1,'
        b'"whichBrokerWhenConsumeSlowly":1}'
    )
    group = decode(text, groups.GroupConfigBody).value()
    assert (group.name, group.retry_max_times, group.retry_policy) == ("g", 3, {"type": "CUSTOMIZED"})


def test_one_message_queue_is_ordered_by_topic_broker_and_number() -> None:
    assert min([MessageQueue("b", "x", 0), MessageQueue("a", "y", 1), MessageQueue("a", "x", 2)]).queue_id == 2
