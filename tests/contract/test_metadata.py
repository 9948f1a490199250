"""The stores of users and policies, under the one contract."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqguard.auth.errors import RevisionConflict
from mqguard.auth.ports import DeleteUser, MetadataStore, MetadataUpdate, PutUser
from mqguard.auth.seal import SealingKey
from mqguard.runtime.sharing.published_store import PublishedStore
from mqguard.store.metadata.etcd import EtcdMetadataStore
from mqguard.store.metadata.etcd_client import EtcdClient, EtcdSettings
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.testing.metadata_contract import DurableMetadataContract, Reopen, SharedMetadataContract, user
from tests.fixtures.etcd import Etcd

KEY = SealingKey(bytes(range(32)))
_NUMBERS = itertools.count()


def open_etcd(etcd: Etcd, prefix: str, key: SealingKey = KEY) -> EtcdMetadataStore:
    return EtcdMetadataStore(EtcdClient(EtcdSettings((etcd.endpoint,))), prefix, key, "member")


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


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with Etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        yield etcd


@pytest.mark.xdist_group("etcd")
class TestEtcdMetadataStore(DurableMetadataContract, SharedMetadataContract):
    """Each test has keys of its own in one etcd."""

    @pytest.fixture
    def prefix(self) -> str:
        return f"/test-{next(_NUMBERS)}/"

    @pytest.fixture
    def store(self, etcd: Etcd, prefix: str) -> Iterator[EtcdMetadataStore]:
        with contextlib.closing(open_etcd(etcd, prefix)) as store:
            yield store

    @pytest.fixture
    def other(self, etcd: Etcd, prefix: str, store: EtcdMetadataStore) -> Iterator[EtcdMetadataStore]:
        assert store is not None, "the first store creates the keys"
        with contextlib.closing(open_etcd(etcd, prefix)) as other:
            yield other

    @pytest.fixture
    def reopen(self, etcd: Etcd, prefix: str) -> Iterator[Reopen]:
        with contextlib.ExitStack() as opened:

            def again(store: MetadataStore) -> MetadataStore:
                store.close()
                return opened.enter_context(contextlib.closing(open_etcd(etcd, prefix)))

            yield again
