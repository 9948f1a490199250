"""Users and policies that are kept by the brokers of a cluster: with brokers of mqguard, and of Apache RocketMQ."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mqguard.admin import policies, users
from mqguard.admin.session import ConnectionOptions, Session
from mqguard.auth.errors import MetadataRejected, MetadataStoreFailed, RevisionConflict
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import (
    ChangeRecord,
    DeleteAcl,
    DeleteUser,
    Metadata,
    MetadataStore,
    MetadataUpdate,
    PutAcl,
    PutUser,
)
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import NO_INCARNATION, Secret, Subject, User, UserStatus, UserType
from mqguard.config.secret import Credentials
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import SubjectHeader
from mqguard.runtime.plugin_store import ChangeJournal
from mqguard.runtime.remote.brokers import BrokerMetadataStore
from mqguard.testing.metadata_contract import SharedMetadataContract, acl, acls_of, user, users_of, wait_until, write
from tests.fixtures.apache import ApacheCluster
from tests.fixtures.server import SUPER, SUPER_SECRET, Broker, NameServer
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.system
OWN = pytest.mark.xdist_group("broker-store")

OPTIONS = ConnectionOptions(Credentials(SUPER, Secret(SUPER_SECRET)), timeout=10.0)
WAIT_S = 60.0


class OwnUsers(BrokerMetadataStore):
    """The store without the Super user that the brokers have created, and which polls when it is read."""

    def load(self) -> Metadata:
        found = super().load()
        return dataclasses.replace(found, users=[one for one in found.users if one.name != SUPER])


@dataclasses.dataclass
class Cluster:
    """A cluster under test.

    Attributes:
        namesrv: Address of its name server.
        brokers: Its brokers, as addresses.
    """

    namesrv: str
    brokers: list[str]

    @contextlib.contextmanager
    def session(self, broker: int) -> Iterator[Session]:
        with contextlib.closing(Session(self.brokers[broker], OPTIONS)) as session:
            yield session

    def clear(self) -> None:
        for broker in range(len(self.brokers)):
            with self.session(broker) as session:
                for one in users.find(session):
                    if one.name != SUPER:
                        users.delete(session, one.name)

    @contextlib.contextmanager
    def opened(self, directory: Path) -> Iterator[OwnUsers]:
        directory.mkdir(exist_ok=True)
        store = OwnUsers(self.namesrv, OPTIONS, ChangeJournal(directory / "changes.json"))
        with contextlib.closing(store):
            store.load()
            yield store


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NameServer, list[Broker]]]:
    base = tmp_path_factory.mktemp("brokers")
    with contextlib.ExitStack() as started:
        namesrv = started.enter_context(NameServer(base / "namesrv"))
        brokers = [
            started.enter_context(Broker(base / name, name, namesrv.namesrv)) for name in ("broker-a", "broker-b")
        ]
        store = BrokerMetadataStore(namesrv.namesrv, OPTIONS, ChangeJournal(base / "changes.json"))
        with contextlib.closing(store):
            assert eventually(lambda: is_readable(store) and store.brokers == 2, WAIT_S)
        yield namesrv, brokers


@pytest.fixture
def own_brokers(own_servers: tuple[NameServer, list[Broker]]) -> list[Broker]:
    return own_servers[1]


def is_readable(store: BrokerMetadataStore) -> bool:
    try:
        store.load()
    except MetadataStoreFailed:
        return False
    return True


@pytest.fixture
def cluster(own_servers: tuple[NameServer, list[Broker]]) -> Cluster:
    namesrv, brokers = own_servers
    cluster = Cluster(namesrv.namesrv, [broker.broker for broker in brokers])
    cluster.clear()
    return cluster


@contextlib.contextmanager
def polled(store: BrokerMetadataStore) -> Iterator[None]:
    """Read the brokers again and again, as a server does."""
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(0.05):
            with contextlib.suppress(MetadataStoreFailed):
                store.confirm()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@OWN
class TestBrokerMetadataStore(SharedMetadataContract):
    """The contract, without what brokers cannot keep."""

    @pytest.fixture
    def store(self, cluster: Cluster, tmp_path: Path) -> Iterator[OwnUsers]:
        with cluster.opened(tmp_path / "one") as store, polled(store):
            yield store

    @pytest.fixture
    def other(self, cluster: Cluster, tmp_path: Path) -> Iterator[OwnUsers]:
        with cluster.opened(tmp_path / "two") as store, polled(store):
            yield store

    def test_secrets_and_their_ends_are_kept(self, store: MetadataStore) -> None:
        """Brokers keep one secret of a user, so a user with two, or with none, is rejected."""
        with pytest.raises(MetadataRejected, match="one secret"):
            write(store, [PutUser(user("alice", ("new", None), ("old", 1_700_000_000_000)))])
        with pytest.raises(MetadataRejected, match="one secret"):
            write(store, [PutUser(User("none", ()))])
        write(store, [PutUser(user("alice", ("new 秘密", None)))])
        assert users_of(store) == {"alice": user("alice", ("new 秘密", None))}

    def test_incarnations_are_kept(self, store: MetadataStore) -> None:
        """Brokers have incarnations of their own, so users have none here."""
        write(store, [PutUser(dataclasses.replace(user("alice"), incarnation="i-1", confirmed=True))])
        assert users_of(store)["alice"].incarnation in {"i-1", NO_INCARNATION}

    def test_every_part_of_a_policy_is_kept(self, store: MetadataStore) -> None:
        """Brokers keep one entry for each resource of a policy."""
        deny = Entry(Resource.parse("Namespace:主题"), (Action.ALL, Action.PUB), (), Decision.DENY)
        allow = Entry(Resource.parse("Topic:a:b c"), tuple(Action), (Source.parse("::/0"),), Decision.ALLOW)
        given = Acl(Subject("a"), (Policy(PolicyType.DEFAULT, (deny, allow)), Policy(PolicyType.CUSTOM, (allow,))))
        write(store, [PutUser(user("a")), PutAcl(given)])
        assert acls_of(store) == {"a": given}

    def test_sources_keep_the_text_that_was_written(self, store: MetadataStore) -> None:
        write(store, [PutUser(user())])
        super().test_sources_keep_the_text_that_was_written(store)

    def test_a_deletion_removes_only_the_named_user_or_policies(self, store: MetadataStore) -> None:
        """Brokers delete the policies of a user with the user."""
        write(store, [PutUser(user("a")), PutUser(user("b")), PutAcl(acl("a")), PutAcl(acl("b"))])
        write(store, [DeleteUser("a"), DeleteAcl(Subject("b"))])
        assert set(users_of(store)) == {"b"}
        assert not acls_of(store)

    def test_changes_are_applied_in_their_order(self, store: MetadataStore) -> None:
        write(store, [PutUser(user()), DeleteUser("alice"), PutUser(user("alice", ("two", None))), PutAcl(acl())])
        assert users_of(store) == {"alice": user("alice", ("two", None))}
        assert acls_of(store) == {"alice": acl()}

    def test_a_write_is_seen_by_the_other_server(self, store: MetadataStore, other: MetadataStore) -> None:
        """Each server counts revisions for itself."""
        write(store, [PutUser(user()), PutAcl(acl())])
        assert users_of(other) == {"alice": user()}
        assert acls_of(other) == {"alice": acl()}

    def test_updates_arrive_in_order_and_lead_to_the_stored_state(
        self, store: MetadataStore, other: MetadataStore
    ) -> None:
        manager = MetadataManager(other)
        found: list[MetadataUpdate] = []
        other.watch(found.append)
        for number in range(20):
            write(store, [PutUser(user(f"u{number % 7}", (f"s{number}", None)))])
        expected = users_of(store)
        wait_until(lambda: {one.name: one for one in manager.snapshot.users() if one.name != SUPER} == expected)
        revisions = [update.revision for update in found]
        assert revisions == sorted(set(revisions))
        assert [update.previous for update in found] == [revision - 1 for revision in revisions]

    def test_names_are_kept_as_they_are(self, store: MetadataStore) -> None:
        names = ("alice", "用户", "a:b/c", "with space", "😀", "é", "User:x", "x" * 250)
        write(store, [PutUser(user(name)) for name in names])
        write(store, [PutAcl(acl(name)) for name in names])
        assert set(users_of(store)) == set(names)
        assert set(acls_of(store)) == set(names)


@pytest.fixture
def store(cluster: Cluster, tmp_path: Path) -> Iterator[OwnUsers]:
    with cluster.opened(tmp_path / "store") as store:
        yield store


DRIFTS: dict[str, Callable[[Session], None]] = {
    "deleted": lambda session: users.delete(session, "alice"),
    "another secret": lambda session: users.update(session, "alice", secret=Secret("another")),
    "disabled": lambda session: users.update(session, "alice", status="disable"),
    "Super": lambda session: users.update(session, "alice", user_type="Super"),
    "another entry": lambda session: policies.update(
        session, Subject("alice"), acl("alice", "Topic:x").policies[0].entries
    ),
    "no policies": lambda session: policies.delete(session, Subject("alice")),
}


@OWN
@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
@pytest.mark.parametrize("broker", [0, 1])
def test_a_user_that_differs_is_disabled_until_the_brokers_agree(
    cluster: Cluster, store: OwnUsers, drift: Callable[[Session], None], broker: int
) -> None:
    """The rule is the same, whichever broker has changed."""
    write(store, [PutUser(user("alice")), PutAcl(acl()), PutUser(user("bob"))])
    found: list[MetadataUpdate] = []
    store.watch(found.append)
    with cluster.session(broker) as session:
        drift(session)
    assert users_of(store)["alice"].status is UserStatus.DISABLE
    assert users_of(store)["alice"].type is UserType.NORMAL
    assert users_of(store)["bob"] == user("bob")
    assert set(store.differences) == {"alice"}
    assert "broker-a" in store.differences["alice"]
    assert "s3cret" not in store.differences["alice"]
    assert [change for update in found for change in update.changes or () if isinstance(change, PutUser)]
    # A change that names everything brings all brokers to one state.
    write(store, [PutUser(user("alice", ("new", None))), PutAcl(acl("alice", "Topic:b"))])
    assert users_of(store)["alice"] == user("alice", ("new", None))
    assert acls_of(store) == {"alice": acl("alice", "Topic:b")}
    assert not store.differences


@OWN
def test_a_broker_that_does_not_answer_stops_changes_and_confirmations(
    cluster: Cluster, own_brokers: list[Broker], store: OwnUsers
) -> None:
    write(store, [PutUser(user("alice"))])
    revision = store.load().revision
    own_brokers[1].kill()
    try:
        for call in (store.load, store.confirm, lambda: store.apply([PutUser(user("bob"))], revision)):
            with pytest.raises(MetadataStoreFailed):
                call()
        with cluster.session(0) as session:
            assert [one.name for one in users.find(session) if one.name != SUPER] == ["alice"]
    finally:
        own_brokers[1].start()
    assert eventually(lambda: is_readable(store), WAIT_S)
    store.apply([PutUser(user("bob"))], store.load().revision)


@OWN
def test_two_administrators_of_different_entries_lose_nothing(
    cluster: Cluster, store: OwnUsers, tmp_path: Path
) -> None:
    """The second decides by an older state, and its change is refused before anything is written."""
    write(store, [PutUser(user("alice")), PutAcl(acl("alice", "Topic:a"))])
    with cluster.opened(tmp_path / "second") as second:
        old = second.load().revision
        write(store, [PutAcl(acl("alice", "Topic:a", "Topic:b"))])
        with pytest.raises(RevisionConflict):
            second.apply([PutAcl(acl("alice", "Topic:a", "Topic:c"))], old)
    assert acls_of(store) == {"alice": acl("alice", "Topic:a", "Topic:b")}


@OWN
def test_the_record_of_a_change_is_kept_until_it_is_written(store: OwnUsers) -> None:
    store.apply_recorded([PutUser(user())], store.load().revision, ChangeRecord("c-1", b"data"))
    assert [(one.id, one.data, one.doubtful) for one in store.unwritten_records()] == [("c-1", b"data", False)]
    store.records_written(["c-1"])
    assert not store.unwritten_records()


@pytest.mark.interop
@pytest.mark.xdist_group("apache-cluster")
class TestApacheBroker:
    """The same with a broker of Apache RocketMQ 5.5.0."""

    @pytest.fixture
    def cluster(self, apache_cluster: ApacheCluster) -> Iterator[Cluster]:
        cluster = Cluster(apache_cluster.namesrv, [f"127.0.0.1:{apache_cluster.broker_port}"])
        cluster.clear()
        yield cluster
        cluster.clear()

    def test_users_and_policies_are_read_and_changed(self, cluster: Cluster, tmp_path: Path) -> None:
        with cluster.opened(tmp_path / "one") as store, cluster.opened(tmp_path / "two") as other:
            off = dataclasses.replace(user("off"), status=UserStatus.DISABLE)
            write(store, [PutUser(user("alice", ("s3cret 秘密", None))), PutUser(off)])
            write(store, [PutAcl(acl("alice", "Topic:a", "Topic:b*", "Group:*"))])
            assert users_of(other) == {"alice": user("alice", ("s3cret 秘密", None)), "off": off}
            assert acls_of(other) == {"alice": acl("alice", "Topic:a", "Topic:b*", "Group:*")}
            write(other, [PutAcl(acl("alice", "Topic:a", "Group:g")), PutUser(user("alice", ("new", None)))])
            assert acls_of(store) == {"alice": acl("alice", "Topic:a", "Group:g")}
            assert users_of(store)["alice"] == user("alice", ("new", None))
            write(store, [DeleteAcl(Subject("alice"))])
            write(store, [DeleteUser("alice")])
            assert set(users_of(other)) == {"off"}
            assert not acls_of(other)
            assert not store.differences

    def test_a_policy_that_is_not_valid_here_disables_its_user(self, cluster: Cluster, tmp_path: Path) -> None:
        """Apache's broker accepts `Topic:*a`, and it never matches."""
        with cluster.opened(tmp_path / "store") as store:
            write(store, [PutUser(user("alice"))])
            entries = [{"resource": "Topic:*a", "actions": ["Pub"], "decision": "Allow"}]
            body = json.dumps({"subject": "User:alice", "policies": [{"entries": entries}]}).encode()
            with cluster.session(0) as session:
                session.call(RequestCode.AUTH_CREATE_ACL, SubjectHeader(subject="User:alice"), body)
            assert users_of(store)["alice"].status is UserStatus.DISABLE
            assert "not valid" in store.differences["alice"]
