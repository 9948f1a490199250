"""The stores of users and policies, under the one contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mqguard.auth.errors import RevisionConflict
from mqguard.auth.ports import DeleteUser, MetadataStore, MetadataUpdate, PutUser
from mqguard.auth.seal import SealingKey
from mqguard.runtime.sharing.published_store import PublishedStore
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.testing.metadata_contract import DurableMetadataContract, Reopen, SharedMetadataContract, user

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


class TestPublishedStore(DurableMetadataContract):
    """The store of a process that shares its users and policies with others."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[PublishedStore]:
        store = PublishedStore(RocksMetadataStore(tmp_path / "access", KEY))
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        def again(store: MetadataStore) -> MetadataStore:
            store.close()
            return PublishedStore(RocksMetadataStore(tmp_path / "access", KEY))

        return again

    def test_each_write_is_reported_once_it_is_stored(self, store: PublishedStore) -> None:
        """A write without changes, and a refused one, are not reported."""
        found: list[tuple[MetadataUpdate, int]] = []
        store.on_stored = lambda update: found.append((update, store.load().revision))
        revision = store.apply([PutUser(user())], 0)
        store.apply([], revision)
        with pytest.raises(RevisionConflict):
            store.apply([DeleteUser("alice")], revision + 1)
        assert found == [(MetadataUpdate(revision, 0, [PutUser(user())]), revision)]
