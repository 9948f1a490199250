"""A name server without sockets, behind a real guard."""

import pytest

from mqguard.dispatch.request import error_reply
from mqguard.dispatch.router import Router
from mqguard.errors import MqguardError
from mqguard.namesrv.kv import KvTable
from mqguard.namesrv.server import NameServer
from tests.unit.broker.conftest import House


class MemoryKvStore:
    """A store of the values of a name server, in a dictionary that may be full."""

    def __init__(self, values=None):
        self.values = values or {}
        self.full = False

    def load(self):
        return self.values

    def save(self, values):
        if self.full:
            raise MqguardError("the disk is full")
        self.values = values


class Directory(House):
    """A house whose requests go to its name server. Its broker is announced there."""

    def __init__(self, **more):
        super().__init__(**more)
        self.kv_store = MemoryKvStore()
        self.kv = KvTable(self.kv_store)
        self.namesrv = NameServer(
            self.routes, self.kv, self.clock, {"namesrvListenPort": "9876", "kvConfigPath": "x y"}
        )
        self.app = Router(self.admission, self.namesrv.handlers(), error_reply, at_close=[self.namesrv.closed])


@pytest.fixture
def directory():
    return Directory()
