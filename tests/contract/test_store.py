"""Both message stores behave alike."""

import pytest

from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import DurableStoreContract, MessageStoreContract
from mqguard.testing.store_links_contract import StoreLinksContract


class TestMemory(MessageStoreContract, StoreLinksContract):
    @pytest.fixture
    def store(self):
        return MemoryMessageStore()


class TestRocks(DurableStoreContract, StoreLinksContract):
    @pytest.fixture
    def opened(self):
        stores = []
        yield stores
        for store in stores:
            store.close()

    @pytest.fixture
    def store(self, tmp_path, opened):
        opened.append(RocksMessageStore(tmp_path / "messages"))
        return opened[-1]

    @pytest.fixture
    def reopen(self, tmp_path, opened):
        def close_and_open(store):
            store.close()
            opened.append(RocksMessageStore(tmp_path / "messages"))
            return opened[-1]

        return close_and_open
