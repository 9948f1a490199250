"""Key-value configuration over the wire."""

import json

from mqguard.remoting.codes import ResponseCode

KEY = {"namespace": "ORDER_TOPIC_CONFIG", "key": "t"}


def test_values_come_and_go(directory):
    assert directory.call(100, {**KEY, "value": "broker-a:4"}).code == 0
    assert directory.call(101, KEY).ext == {"value": "broker-a:4"}
    listed = directory.call(219, {"namespace": "ORDER_TOPIC_CONFIG"})
    assert json.loads(listed.body) == {"table": {"t": "broker-a:4"}}
    assert directory.call(102, KEY).code == 0
    assert directory.call(101, KEY).code == ResponseCode.QUERY_NOT_FOUND
    assert directory.call(219, {"namespace": "ORDER_TOPIC_CONFIG"}).code == ResponseCode.QUERY_NOT_FOUND


def test_what_names_nothing_is_refused(directory):
    assert directory.call(100, {"namespace": "", "key": "k", "value": "v"}).code == ResponseCode.SYSTEM_ERROR
    assert directory.call(100, {"namespace": "n"}).code == ResponseCode.INVALID_PARAMETER


def test_values_are_the_clusters(directory):
    directory.user("alice", ("Topic:*", "All"))
    for code in (100, 101, 102, 219):
        assert directory.call(code, {**KEY, "value": "x"}, user="alice").code == ResponseCode.NO_PERMISSION
