"""A running server answers bad bytes, slow peers and full disks clearly, and serves other clients as usual."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fixtures.access import (
    ADMIN,
    create_topic,
    create_user,
    entry,
    grant,
    pull_fields,
    read_all,
    send,
    send_fields,
)
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import CREATE_USER, PULL, SEND, Answer, User, Wire, frame, parse, request, signed

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("bad-input")]

SECONDS = 5.0
"""Time in which a peer gets an answer or loses its connection."""
MEGABYTE = 1024 * 1024

HEADER = {"code": 105, "language": "JAVA", "version": 513, "opaque": 7, "flag": 0, "extFields": {"topic": "t"}}


def ask(wire: Wire) -> Answer:
    """Send a small request that the port serves: for a route, or for the end of a queue."""
    answer = wire.call(105, {"topic": "t"})
    return answer if answer.code != 3 else wire.call(30, {"topic": "t", "queueId": "0"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as started:
        with Wire(started.broker_port, ADMIN) as admin:
            create_topic(admin, "t", 1)
        yield started


@pytest.fixture(autouse=True)
def others_unaffected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Serve another client on one connection before and after the test."""
    if "server" not in request.fixturenames:
        yield
        return
    server: Server = request.getfixturevalue("server")
    before, said = server.resident_bytes(), len(server.log())
    with Wire(server.broker_port, ADMIN) as other:
        assert send(other, "t", b"before").code == 0
        yield
        started = time.monotonic()
        assert send(other, "t", b"after").code == 0
        assert time.monotonic() - started < 1
    assert server.resident_bytes() - before < 64 * MEGABYTE
    assert "Traceback" not in server.log()[said:]


@pytest.fixture(params=["broker", "namesrv"])
def port(request: pytest.FixtureRequest, server: Server) -> int:
    return server.broker_port if request.param == "broker" else server.namesrv_port


def header(**changes: object) -> bytes:
    return json.dumps({**HEADER, **changes}).encode()


CUT = {
    "two gigabytes": struct.pack(">I", 0x7FFFFFFF),
    "four gigabytes": struct.pack(">I", 0xFFFFFFFF),
    "just over the limit": struct.pack(">I", 16 * MEGABYTE + 1),
    "length zero": struct.pack(">I", 0) * 2,
    "length too short for a header": struct.pack(">I", 3) + b"abc",
    "header longer than the frame": struct.pack(">II", 10, 1000) + b"123456",
    "header length negative": struct.pack(">II", 0x10000000, 0xFFFFFFFF),
    "unknown kind of header": frame(header(), kind=7),
    "no JSON": frame(b"this is no JSON at all"),
    "JSON cut off": frame(header()[:-5]),
    "JSON array": frame(b"[1,2,3]"),
    "JSON null": frame(b"null"),
    "JSON of a hundred thousand brackets": frame(b"[" * 100_000),
    "JSON objects in one another": frame(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "not UTF-8": frame(b'{"code":105,"extFields":{"topic":"\xff\xfe"}}'),
    "empty header": frame(b""),
    "code is a text": frame(header(code="words")),
    "code missing": frame(json.dumps({"opaque": 1, "flag": 0}).encode()),
    "code beyond 32 bits": frame(header(code=2**40)),
    "opaque is an object": frame(header(opaque={})),
    "ext fields are a list": frame(header(extFields=["topic"])),
    "ext field is an object": frame(header(extFields={"topic": {"a": 1}})),
    "binary header cut off": frame(b"\x00\x69\x00\x01\xdf\x00", kind=1),
    "binary header with a lying length": frame(struct.pack(">hBhiiii", 105, 0, 479, 1, 0, 2**31 - 1, 0), kind=1),
    "binary ext with a negative length": frame(struct.pack(">hBhiiii", 105, 0, 479, 1, 0, 0, -1), kind=1),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "a TLS hello": bytes.fromhex("160301020001000100") + b"\0" * 600,
    "an SSH banner": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "a PROXY header from an unlisted peer": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    "zeros": b"\0" * 4096,
}


@pytest.mark.parametrize("raw", list(CUT.values()), ids=list(CUT))
def test_bytes_that_are_not_a_request_are_answered_or_end_the_connection(port: int, raw: bytes) -> None:
    with Wire(port) as wire:
        wire.socket.sendall(raw)
        wire.socket.settimeout(SECONDS)
        try:
            answer = wire.read()
        except (EOFError, ConnectionError):
            return
        except (AssertionError, struct.error):  # A TLS alert is an answer, too.
            assert wire.ended(SECONDS)
            return
        assert answer.code != 0
        assert answer.remark
        assert "\n" not in answer.remark


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_end_the_connection_or_wait_for_more(port: int, seed: int) -> None:
    random_ = random.Random(seed)
    with Wire(port) as wire:
        try:
            for _ in range(20):
                wire.socket.sendall(random_.randbytes(random_.randrange(1, 5000)))
        except ConnectionError:
            return
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.ended(SECONDS)


def test_commands_before_the_bad_bytes_are_still_answered(server: Server) -> None:
    with Wire(server.broker_port) as wire:
        good = request(SEND, send_fields("t"), b"last words", user=ADMIN, opaque=77)
        wire.socket.sendall(good + struct.pack(">I", 0x7FFFFFFF))
        answer = wire.read()
        assert (answer.code, answer.opaque) == (0, 77)
        assert wire.ended(SECONDS)
    with Wire(server.broker_port, ADMIN) as admin:
        assert b"last words" in read_all(admin, "t", "g", 0)


@pytest.mark.parametrize("cut", [1, 3, 5, 8, 20, 100])
def test_an_unfinished_frame_is_dropped_with_its_connection(port: int, cut: int) -> None:
    whole = request(SEND, send_fields("t"), b"x" * 100, user=ADMIN)
    with Wire(port) as wire:
        wire.socket.sendall(whole[:cut])
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.ended(SECONDS)


def test_a_frame_may_arrive_byte_by_byte(server: Server) -> None:
    with Wire(server.broker_port) as wire:
        for byte in request(SEND, send_fields("t"), b"slow", user=ADMIN, opaque=5):
            wire.socket.sendall(bytes([byte]))
        answer = wire.read()
    assert (answer.code, answer.opaque) == (0, 5)


LENIENT: dict[str, dict[str, object]] = {
    "number in ext": {"extFields": {"topic": "t", "more": 5}},
    "null in ext": {"extFields": {"topic": "t", "more": None}},
    "boolean in ext": {"extFields": {"topic": "t", "more": True}},
    "no language": {"language": None},
    "unknown language": {"language": "COBOL"},
    "unknown member": {"surprise": {"a": [1, 2]}},
    "ext is null": {"extFields": None},
    "remark is null": {"remark": None},
}


@pytest.mark.parametrize("changes", list(LENIENT.values()), ids=list(LENIENT))
def test_odd_headers_are_answered_and_the_connection_stays_open(port: int, changes: dict[str, object]) -> None:
    with Wire(port, ADMIN) as wire:
        wire.socket.sendall(frame(header(**changes)))
        answer = wire.read()
        assert answer.opaque == 7
        assert answer.code == 16  # It has no signature, so it is refused.
        assert ask(wire).code == 0


@pytest.mark.parametrize("code", [0, -1, 1, 9999, 32767, 2**31 - 1])
def test_an_unknown_code_is_reported_to_an_administrator_and_refused_to_others(port: int, code: int) -> None:
    with Wire(port, ADMIN) as wire:
        answer = wire.call(code)
        assert answer.code == 3, answer
        assert str(code) in (answer.remark or "")
    with Wire(port) as stranger:
        assert stranger.call(code).code == 16


FIELDS: dict[str, dict[str, str | None]] = {
    "no topic": {"topic": None},
    "empty topic": {"topic": ""},
    "topic of a slash": {"topic": "../../etc/passwd"},
    "topic too long": {"topic": "t" * 5000},
    "topic with a line break": {"topic": "a\nb"},
    "topic with a NUL": {"topic": "a\0b"},
    "system topic": {"topic": "SCHEDULE_TOPIC_XXXX"},
    "no queue": {"queueId": None},
    "queue is a word": {"queueId": "first"},
    "queue out of range": {"queueId": "99"},
    "queue beyond 32 bits": {"queueId": "99999999999999999999"},
    "no group": {"producerGroup": None},
    "flag is a word": {"sysFlag": "x"},
    "properties too long": {"properties": "k\x01" + "v" * 40_000 + "\x02"},
    "born at a word": {"bornTimestamp": "yesterday"},
}


@pytest.mark.parametrize("changes", list(FIELDS.values()), ids=list(FIELDS))
def test_wrong_fields_are_named_and_nothing_is_stored(server: Server, changes: dict[str, str | None]) -> None:
    with Wire(server.broker_port, ADMIN) as wire:
        before = read_all(wire, "t", "watch", 0)
        fields = {key: value for key, value in {**send_fields("t"), **changes}.items() if value is not None}
        answer = wire.call(SEND, fields, b"wrong")
        assert answer.code not in {0, 2}, answer
        assert answer.remark
        assert "Traceback" not in answer.remark
        assert len(answer.remark) < 1000
        assert read_all(wire, "t", "watch", 0) == before


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"username":5}', b"\xff\xfe", b"[" * 50_000])
def test_a_wrong_body_of_an_administrator_is_refused_with_a_reason(server: Server, body: bytes) -> None:
    with Wire(server.broker_port, ADMIN) as wire:
        answer = wire.call(CREATE_USER, {"username": "broken"}, body)
        assert answer.code not in {0, 2}, answer
        assert answer.remark
        assert wire.call(3004, {"username": "broken"}).body == b""


def test_a_signature_that_is_not_base64_is_refused(server: Server) -> None:
    for signature in ("", "???", "AAAA", "é" * 10, "A" * 50_000):
        with Wire(server.broker_port) as wire:
            fields = {**signed(send_fields("t"), b"x", ADMIN), "Signature": signature}
            wire.socket.sendall(request(SEND, fields, b"x"))
            answer = wire.read()
            assert answer.code == 16
            assert answer.remark is not None
            assert answer.remark.startswith("check signature failed.")


def test_a_body_that_was_changed_on_its_way_is_refused(server: Server) -> None:
    fields = signed(send_fields("t"), b"pay 10", ADMIN)
    with Wire(server.broker_port) as wire:
        wire.socket.sendall(request(SEND, fields, b"pay 99"))
        assert wire.read().code == 16


def test_ten_thousand_pipelined_frames_are_all_answered(server: Server) -> None:
    count = 10_000
    frames = b"".join(request(SEND, send_fields("t"), b"p%d" % i, user=ADMIN, opaque=i) for i in range(count))
    with Wire(server.broker_port, timeout=60) as wire:
        writer = threading.Thread(target=wire.socket.sendall, args=(frames,))
        writer.start()
        answers = [wire.read() for _ in range(count)]
        writer.join()
    assert {answer.code for answer in answers} == {0}
    assert [answer.opaque for answer in answers] == list(range(count))


def test_ten_thousand_pipelined_frames_of_unknown_users_are_all_refused(server: Server) -> None:
    count = 10_000
    with Wire(server.broker_port, timeout=60) as wire:
        frames = b"".join(request(SEND, send_fields("t"), b"x", opaque=i) for i in range(count))
        writer = threading.Thread(target=wire.socket.sendall, args=(frames,))
        writer.start()
        assert {wire.read().code for _ in range(count)} == {16}
        writer.join()


def fill(server: Server, topic: str, count: int, size: int) -> None:
    with Wire(server.broker_port, ADMIN) as wire:
        create_topic(wire, topic, 1)
        for _ in range(count):
            assert send(wire, topic, b"x" * size).code == 0


def test_a_peer_that_reads_nothing_does_not_grow_the_server(server: Server) -> None:
    fill(server, "big", 32, 100_000)
    before = server.resident_bytes()
    pulls = request(PULL, pull_fields("big", "lazy", 0, 0), user=ADMIN)
    with Wire(server.broker_port) as lazy:
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.socket.setblocking(False)
        end = time.monotonic() + 4
        while time.monotonic() < end:  # requests for answers of megabytes that are never read
            try:
                lazy.socket.send(pulls * 50)
            except BlockingIOError:
                time.sleep(0.05)
            except ConnectionError:
                break
            assert server.resident_bytes() - before < 128 * MEGABYTE
        with Wire(server.broker_port, ADMIN) as other:
            started = time.monotonic()
            assert send(other, "t", b"meanwhile").code == 0
            assert time.monotonic() - started < 1
    assert server.resident_bytes() - before < 128 * MEGABYTE


def test_peers_that_announce_much_and_send_little_do_not_grow_the_server(server: Server) -> None:
    before = server.resident_bytes()
    wires = [Wire(server.broker_port) for _ in range(50)]
    try:
        for wire in wires:
            wire.socket.sendall(struct.pack(">II", 15 * MEGABYTE, 100) + b"x" * 1000)
        time.sleep(0.5)
        assert server.resident_bytes() - before < 64 * MEGABYTE
    finally:
        for wire in wires:
            wire.close()


def test_a_thousand_idle_connections_cost_little_and_disturb_no_client(server: Server) -> None:
    before = server.resident_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    wires = [Wire(server.broker_port) for _ in range(1000)]
    try:
        with Wire(server.broker_port, ADMIN) as other:
            started = time.monotonic()
            for i in range(50):
                assert send(other, "t", b"%d" % i).code == 0
            assert time.monotonic() - started < 5
        assert server.resident_bytes() - before < 64 * MEGABYTE
        assert wires[-1].call(105, {"topic": "t"}).code == 16
    finally:
        for wire in wires:
            wire.close()
    assert eventually(lambda: len(psutil.Process(server.pid).net_connections()) <= 100, SECONDS, pause=0.1)


def test_connections_over_the_limit_are_closed_and_the_others_served(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"maxConnections": "16"}) as server:
        # One user has seven eighths of all places.
        wires = [Wire(server.broker_port, ADMIN) for _ in range(14)]
        try:
            create_topic(wires[0], "t")
            assert {ask(wire).code for wire in wires} == {0}
            with Wire(server.broker_port, ADMIN) as late:
                with contextlib.suppress(EOFError, ConnectionError):
                    ask(late)
                assert late.ended(SECONDS)
            assert {ask(wire).code for wire in wires} == {0}
        finally:
            for wire in wires:
                wire.close()


def test_a_connection_without_requests_is_closed_in_time(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"serverChannelMaxIdleTimeSeconds": "1"}) as server:
        with Wire(server.broker_port) as silent:
            assert silent.ended(SECONDS)
        with Wire(server.broker_port) as half:
            half.socket.sendall(b"\0\0")
            assert half.ended(SECONDS)


# A full disk.


def until_full(wire: Wire, limit: int) -> tuple[list[bytes], Answer | None]:
    """Send until the server refuses; return the messages that it took, and its refusal."""
    taken: list[bytes] = []
    for i in range(limit):
        body = b"%06d" % i + os.urandom(60_000)
        answer = send(wire, "full", body)
        if answer.code != 0:
            return taken, answer
        taken.append(body)
    return taken, None


def check_full(server: Server, make_room: Callable[[], None]) -> None:
    """Check that a full disk causes clear answers, loses no acknowledged message, and is over once there is room."""
    with Wire(server.broker_port, ADMIN, timeout=SECONDS) as wire:
        create_topic(wire, "full", 1)
        taken, refused = until_full(wire, 3000)
        assert refused is not None, "the disk never was full"
        assert refused.code in {1, 11, 12, 14}, refused
        assert refused.remark
        assert "Traceback" not in refused.remark
        assert len(taken) > 10
        # The server still serves reads, and refuses writes.
        assert wire.call(105, {"topic": "full"}).code in {0, 3}
        assert read_all(wire, "full", "g", 0)[: len(taken)] == taken
        answer = wire.call(CREATE_USER, {"username": "late"}, b'{"username":"late","password":"p"}')
        created = answer.code == 0
        make_room()
        assert eventually(lambda: send(wire, "full", b"room again").code == 0, pause=0.2)
        assert bool(wire.call(3004, {"username": "late"}).body) == created
    assert server.stop() == 0
    server.start()
    with Wire(server.broker_port, ADMIN) as wire:
        stored = read_all(wire, "full", "g", 0)
        assert stored[: len(taken)] == taken
        assert b"room again" in stored


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 256 MB, which needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system can only be mounted by root; the limit of file sizes is tested instead")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_no_acknowledged_message(tmp_path: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (128 * MEGABYTE))
    server = Server(tmp_path / "server")
    server.data = small_disk / "data"
    with server:
        check_full(server, ballast.unlink)


def test_a_limit_of_file_sizes_loses_no_acknowledged_message(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (24 * MEGABYTE, resource.RLIM_INFINITY))

        def lift() -> None:
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        check_full(server, lift)


# Sizes at the edges.


def test_the_largest_message_is_taken_and_a_larger_one_refused(tmp_path: Path) -> None:
    with (
        Server(tmp_path, settings={"maxMessageSize": str(MEGABYTE)}) as server,
        Wire(server.broker_port, ADMIN) as wire,
    ):
        create_topic(wire, "t", 1)
        assert send(wire, "t", b"x" * MEGABYTE).code == 0
        answer = send(wire, "t", b"x" * (MEGABYTE + 1))
        assert answer.code == 13
        assert answer.remark
        assert [len(body) for body in read_all(wire, "t", "g", 0)] == [MEGABYTE]


def test_a_user_with_thousands_of_entries_is_served_as_fast_as_others(server: Server) -> None:
    user = User("hoarder", "hoarder-secret")
    with Wire(server.broker_port, ADMIN, timeout=30) as admin:
        create_user(admin, user.name, user.secret)
        entries = [entry(f"Topic:hoard{i}", "Pub,Sub") for i in range(5000)]
        grant(admin, user.name, *entries, entry("Topic:t", "Pub"))
    with Wire(server.broker_port, user) as wire:
        started = time.monotonic()
        for _ in range(200):
            assert send(wire, "t", b"x").code == 0
        assert time.monotonic() - started < 2
        assert send(wire, "hoard1x", b"x").code == 16


def test_the_reader_of_these_tests_decodes_a_frame() -> None:
    """The reader of frames that these tests use decodes a frame that was written by hand."""
    raw = frame(b'{"code":0,"flag":1,"opaque":9,"extFields":{"a":"b"}}', b"body")
    assert parse(raw[4:]) == Answer(0, 9, None, {"a": "b"}, b"body")
