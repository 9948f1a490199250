"""Key-value configuration, as a table and over the wire."""

import json

import pytest

from mqguard.errors import MqguardError
from mqguard.namesrv.kv import KvTable
from mqguard.remoting.codes import ResponseCode
from tests.unit.namesrv.conftest import MemoryKvStore

KEY = {"namespace": "ORDER_TOPIC_CONFIG", "key": "t"}


def test_values_come_and_go():
    table = KvTable()
    table.put("n", "k", "v")
    table.put("n", "l", "w")
    assert table.get("n", "k") == "v"
    assert table.all("n") == {"k": "v", "l": "w"}
    table.delete("n", "k")
    table.delete("n", "k")
    table.delete("n", "l")
    assert table.all("n") == {}
    assert table.get("n", "k") is None


def test_values_are_persistent():
    disk = MemoryKvStore({"n": {"k": "v"}})
    table = KvTable(disk)
    assert table.get("n", "k") == "v"
    table.put("n", "l", "w")
    table.delete("n", "k")
    assert KvTable(disk).all("n") == {"l": "w"}


def test_a_change_that_cannot_be_written_is_undone():
    disk = MemoryKvStore({"n": {"k": "v"}})
    table = KvTable(disk)
    disk.full = True
    with pytest.raises(MqguardError):
        table.put("n", "k", "other")
    with pytest.raises(MqguardError):
        table.delete("n", "k")
    assert table.get("n", "k") == "v"


def test_values_are_set_and_removed_over_the_wire(directory):
    assert directory.call(100, {**KEY, "value": "broker-a:4"}).code == 0
    assert directory.call(101, KEY).ext == {"value": "broker-a:4"}
    listed = directory.call(219, {"namespace": "ORDER_TOPIC_CONFIG"})
    assert json.loads(listed.body) == {"table": {"t": "broker-a:4"}}
    assert directory.call(102, KEY).code == 0
    assert directory.call(101, KEY).code == ResponseCode.QUERY_NOT_FOUND
    assert directory.call(219, {"namespace": "ORDER_TOPIC_CONFIG"}).code == ResponseCode.QUERY_NOT_FOUND


def test_an_empty_name_is_refused(directory):
    assert directory.call(100, {"namespace": "", "key": "k", "value": "v"}).code == ResponseCode.SYSTEM_ERROR
    assert directory.call(100, {"namespace": "n"}).code == ResponseCode.INVALID_PARAMETER


def test_values_need_permissions_on_the_cluster(directory):
    directory.user("alice", ("Topic:*", "All"))
    for code in (100, 101, 102, 219):
        assert directory.call(code, {**KEY, "value": "x"}, user="alice").code == ResponseCode.NO_PERMISSION
