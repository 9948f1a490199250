"""Both stores of users and policies, under the one contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mqguard.auth.ports import MetadataStore
from mqguard.auth.seal import SealingKey
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.testing.metadata_contract import DurableMetadataContract, Reopen, SharedMetadataContract

KEY = SealingKey(bytes(range(32)))


class TestMemoryMetadataStore(SharedMetadataContract):
    @pytest.fixture
    def store(self) -> MemoryMetadataStore:
        return MemoryMetadataStore()

    @pytest.fixture
    def other(self, store: MemoryMetadataStore) -> MemoryMetadataStore:
        return store.share()


class TestRocksMetadataStore(DurableMetadataContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[RocksMetadataStore]:
        store = RocksMetadataStore(tmp_path / "access", KEY)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        def again(store: MetadataStore) -> MetadataStore:
            store.close()
            return RocksMetadataStore(tmp_path / "access", KEY)

        return again
