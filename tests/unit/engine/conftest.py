"""An engine, its store and its clock.

A test file that defines `STORES = ("memory", "rocksdb")` has its tests run once on each kind of store.
"""

import pytest

from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine


def pytest_generate_tests(metafunc):
    """Run the tests of a file with `STORES` on each kind of store."""
    kinds = getattr(metafunc.module, "STORES", ())
    if kinds and "store" in metafunc.fixturenames:
        metafunc.parametrize("store", kinds, indirect=True)


@pytest.fixture
def clock():
    """Return a clock that only the test moves."""
    return ManualClock()


@pytest.fixture
def store(request, tmp_path):
    """Open an empty store of messages, and close it afterwards."""
    kind = getattr(request, "param", "memory")
    opened = MemoryMessageStore() if kind == "memory" else RocksMessageStore(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def engine(store, clock):
    """Return an engine with the default settings and only its built-in topics."""
    return make_engine(store, clock)
