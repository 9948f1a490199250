"""Faults of etcd, with a real etcd."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from mqguard.auth.errors import (
    MetadataStoreFailed,
    MetadataStoreFull,
    RecordCorrupt,
    RevisionConflict,
    SealingKeyWrong,
)
from mqguard.auth.ports import ChangeRecord, MetadataUpdate, PutUser
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import Secret
from mqguard.store.metadata.etcd import EtcdMetadataStore
from mqguard.store.metadata.etcd_client import EtcdClient, EtcdSettings, EtcdTls, EtcdUnreachable
from mqguard.testing.metadata_contract import user, users_of, write
from tests.fixtures.etcd import Etcd, free_ports
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.xdist_group("etcd")

KEY = SealingKey(bytes(range(32)))
_NUMBERS = itertools.count()
WAIT_S = 60.0


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with Etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        yield etcd


@pytest.fixture
def prefix() -> str:
    return f"/test-{next(_NUMBERS)}/"


@contextlib.contextmanager
def opened(
    settings: EtcdSettings, prefix: str, key: SealingKey = KEY, member: str = "m"
) -> Iterator[EtcdMetadataStore]:
    with contextlib.closing(EtcdMetadataStore(EtcdClient(settings), prefix, key, member)) as store:
        yield store


def settings(*etcds: Etcd, timeout_s: float = 3.0) -> EtcdSettings:
    return EtcdSettings(tuple(etcd.endpoint for etcd in etcds), timeout_s=timeout_s)


def put(etcd: Etcd, key: str, value: bytes) -> None:
    """Write a key like another program."""
    body = {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode()}
    call(etcd, "kv/put", body)


def call(etcd: Etcd, path: str, body: object, tls: ssl.SSLContext | None = None) -> dict[str, object]:
    address = f"{'http' if tls is None else 'https'}://127.0.0.1:{etcd.port}/v3/{path}"
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30, context=tls) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def test_the_creation_of_the_store_is_not_reported(etcd: Etcd, prefix: str) -> None:
    """A watch that begins before anything was loaded starts after the record that describes the store."""
    with opened(settings(etcd), prefix) as store, opened(settings(etcd), prefix) as other:
        found: list[MetadataUpdate] = []
        store.watch(found.append)
        write(other, [PutUser(user("alice"))])
        assert eventually(lambda: found, WAIT_S)
        assert [update.changes is None for update in found] == [False]


def test_no_secret_is_readable_in_etcd(etcd: Etcd, prefix: str) -> None:
    with opened(settings(etcd), prefix) as store:
        write(store, [PutUser(user("alice", ("very-secret-text", None)))])
    body = {"key": base64.b64encode(b"\0").decode(), "range_end": base64.b64encode(b"\0").decode()}
    found = call(etcd, "kv/range", body)["kvs"]
    assert isinstance(found, list)
    assert any(b"alice" in base64.b64decode(one["key"]) for one in found)
    assert not any(b"very-secret-text" in base64.b64decode(one["value"]) for one in found)


def test_another_sealing_key_is_refused(etcd: Etcd, prefix: str) -> None:
    with opened(settings(etcd), prefix), pytest.raises(SealingKeyWrong, match=r"sealing\.key"):
        EtcdMetadataStore(EtcdClient(settings(etcd)), prefix, SealingKey(bytes(32)), "m")


@pytest.mark.parametrize("name", ["u/alice", "a/alice", "m/revision", "m/format", "other", "x/alice"])
def test_garbage_in_a_key_is_an_error_that_names_it(etcd: Etcd, prefix: str, name: str) -> None:
    with opened(settings(etcd), prefix) as store:
        write(store, [PutUser(user("bob"))])
        found: list[MetadataUpdate] = []
        store.watch(found.append)
        put(etcd, prefix + name, b"garbage")
        with pytest.raises(RecordCorrupt, match=name.replace("/", "[:/]")):
            store.load()
        # Readers must load everything again, and so get this error too.
        assert eventually(lambda: any(update.changes is None for update in found), WAIT_S)


def test_keys_without_their_description_are_refused(etcd: Etcd, prefix: str) -> None:
    put(etcd, prefix + "u/alice", b"garbage")
    with pytest.raises(RecordCorrupt, match="etcdPrefix"):
        EtcdMetadataStore(EtcdClient(settings(etcd)), prefix, KEY, "m")


def test_a_record_is_part_of_the_transaction(etcd: Etcd, prefix: str) -> None:
    with opened(settings(etcd), prefix, member="one") as store, opened(settings(etcd), prefix, member="two") as other:
        revision = store.apply_recorded([PutUser(user("a"))], 0, ChangeRecord("c-1", b"first"))
        with pytest.raises(RevisionConflict):
            store.apply_recorded([PutUser(user("b"))], 0, ChangeRecord("c-2", b"refused"))
        revision = store.apply_recorded([PutUser(user("b"))], revision, ChangeRecord("c-0", b"second"))
        assert [(record.id, record.data) for record in store.unwritten_records()] == [
            ("c-1", b"first"),
            ("c-0", b"second"),
        ]
        assert not other.unwritten_records(), "another server writes its own lines only"
        store.records_written(["c-1"])
        assert [record.id for record in store.unwritten_records()] == ["c-0"]
        assert store.load().revision == revision


def test_many_users_are_read_in_pages(etcd: Etcd, prefix: str) -> None:
    with opened(settings(etcd), prefix) as store, opened(settings(etcd), prefix) as other:
        for begin in range(0, 1200, 100):
            write(store, [PutUser(user(f"u{begin + number}")) for number in range(100)])
        assert len(users_of(other)) == 1200


def test_a_change_that_is_too_large_is_refused_and_names_the_remedy(etcd: Etcd, prefix: str) -> None:
    with opened(settings(etcd), prefix) as store:
        with pytest.raises(MetadataStoreFull, match="--max-txn-ops"):
            store.apply([PutUser(user(f"u{number}")) for number in range(200)], 0)
        with pytest.raises(MetadataStoreFull, match="--max-request-bytes"):
            store.apply([PutUser(user("x" * 3_000_000))], 0)
        assert not store.load().users


def test_a_watch_goes_on_after_a_compaction(etcd: Etcd, prefix: str) -> None:
    with opened(settings(etcd), prefix) as store, opened(settings(etcd), prefix) as other:
        revision = store.apply([PutUser(user("a"))], 0)
        for number in range(5):
            revision = store.apply([PutUser(user("a", (f"s{number}", None)))], revision)
        call(etcd, "kv/compaction", {"revision": str(revision), "physical": True})
        found: list[MetadataUpdate] = []
        other.watch(found.append)  # It begins before the compaction.
        assert eventually(lambda: found and found[0].changes is None, WAIT_S)
        new = store.apply([PutUser(user("b"))], revision)
        assert eventually(lambda: found[-1].revision == new, WAIT_S)
        assert found[-1].previous == revision


def test_a_watch_that_was_cut_misses_nothing(tmp_path: Path, prefix: str) -> None:
    with contextlib.ExitStack() as entered:
        etcd = entered.enter_context(Etcd(tmp_path / "etcd"))
        store, other = (entered.enter_context(opened(settings(etcd), prefix)) for _ in range(2))
        found: list[MetadataUpdate] = []
        other.watch(found.append)
        first = store.apply([PutUser(user("a"))], 0)
        assert eventually(lambda: found, WAIT_S)
        etcd.stop()
        with pytest.raises(MetadataStoreFailed):
            store.apply([PutUser(user("b"))], first)
        etcd.start()
        assert eventually(lambda: is_applied(store, first), WAIT_S)
        second = store.load().revision
        assert eventually(lambda: found[-1].revision == second, WAIT_S)
        assert found[1].previous == first


def is_applied(store: EtcdMetadataStore, revision: int) -> bool:
    try:
        store.apply([PutUser(user("c"))], revision)
    except RevisionConflict:
        return True
    except MetadataStoreFailed:
        return False
    return True


def test_a_change_without_an_answer_is_settled(etcd: Etcd, prefix: str) -> None:
    """etcd hangs while a change is sent, and goes on later: the store returns what has really happened."""
    assert etcd.process is not None
    with opened(settings(etcd, timeout_s=0.5), prefix) as store, opened(settings(etcd), prefix) as reader:
        expected = store.apply([PutUser(user("a"))], 0)
        os.kill(etcd.process.pid, signal.SIGSTOP)
        threading.Timer(0.8, os.kill, (etcd.process.pid, signal.SIGCONT)).start()
        try:
            revision = store.apply([PutUser(user("b"))], expected)
        except MetadataStoreFailed as exc:
            made, is_known = False, "may have been made" not in str(exc)
        else:
            made, is_known = True, True
            assert reader.load().revision == revision
        time.sleep(1.0)  # A change that arrives late must not be made any more.
        if is_known:
            assert ("b" in users_of(reader)) is made


def test_the_next_endpoint_is_used(etcd: Etcd, prefix: str) -> None:
    (closed,) = free_ports(1)
    both = EtcdSettings((("127.0.0.1", closed), etcd.endpoint))
    with opened(both, prefix) as store:
        write(store, [PutUser(user("alice"))])
        assert set(users_of(store)) == {"alice"}


def test_no_endpoint_answers(prefix: str) -> None:
    (closed,) = free_ports(1)
    with pytest.raises(EtcdUnreachable, match="does not accept connections"):
        EtcdMetadataStore(EtcdClient(EtcdSettings((("127.0.0.1", closed),))), prefix, KEY, "m")


def test_tls_and_a_user(tmp_path: Path, prefix: str) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    for name, authority in (("ca", ca), ("stranger", stranger)):
        authority.cert_pem.write_to_path(tmp_path / f"{name}.pem")
    certificate = ca.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    more = (
        "--cert-file", str(tmp_path / "cert.pem"), "--key-file", str(tmp_path / "key.pem"),
        "--client-cert-auth", "--trusted-ca-file", str(tmp_path / "ca.pem"), "--auth-token-ttl", "1",
    )  # fmt: skip
    tls = EtcdTls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    with Etcd(tmp_path / "etcd", more, "https") as etcd:
        plain = EtcdSettings((etcd.endpoint,), tls=tls)
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        for path, body in (
            ("auth/user/add", {"name": "root", "password": "root-secret"}),
            ("auth/role/add", {"name": "root"}),
            ("auth/user/grant", {"user": "root", "role": "root"}),
            ("auth/enable", {}),
        ):
            call(etcd, path, body, context)
        with pytest.raises(MetadataStoreFailed, match="etcdUser"), opened(plain, prefix):
            pass
        with pytest.raises(MetadataStoreFailed, match="does not accept the user `root`") as caught:
            EtcdMetadataStore(EtcdClient(plain._replace(user="root", password=Secret("wrong"))), prefix, KEY, "m")
        assert "wrong" not in str(caught.value)
        named = plain._replace(user="root", password=Secret("root-secret"))
        with opened(named, prefix) as store, opened(named, prefix) as other:
            found: list[MetadataUpdate] = []
            other.watch(found.append)
            write(store, [PutUser(user("alice"))])
            assert eventually(lambda: found, WAIT_S)
            time.sleep(2.5)  # The token has ended then.
            write(store, [PutUser(user("bob"))])
            assert eventually(lambda: len(found) > 1, WAIT_S)
        with pytest.raises(MetadataStoreFailed, match="TLS failed"):
            EtcdMetadataStore(
                EtcdClient(named._replace(tls=tls._replace(ca=tmp_path / "stranger.pem"))), prefix, KEY, "m"
            )
