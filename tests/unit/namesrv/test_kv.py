"""Key-value configuration."""

import pytest

from mqguard.errors import MqguardError
from mqguard.namesrv.kv import KvTable


class Disk:
    """A store in a dictionary, which can be full."""

    def __init__(self):
        self.values = {"n": {"k": "v"}}
        self.full = False

    def load(self):
        return self.values

    def save(self, values):
        if self.full:
            raise MqguardError("the disk is full")
        self.values = values


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


def test_they_outlive_the_process():
    disk = Disk()
    table = KvTable(disk)
    assert table.get("n", "k") == "v"
    table.put("n", "l", "w")
    table.delete("n", "k")
    assert KvTable(disk).all("n") == {"l": "w"}


def test_what_cannot_be_written_has_not_happened():
    disk = Disk()
    table = KvTable(disk)
    disk.full = True
    with pytest.raises(MqguardError):
        table.put("n", "k", "other")
    with pytest.raises(MqguardError):
        table.delete("n", "k")
    assert table.get("n", "k") == "v"
