"""Attacks on HTTP/2: each costs the server little time and memory, and a good client is served meanwhile."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import hpack
import psutil
import pytest

from mqguard.net.tls import client_context
from mqguard.rpc import frames
from mqguard.rpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    frame,
)
from tests.fixtures.grpc_client import prefixed, request_fields
from tests.fixtures.hostile.grpc_server import LARGE, STREAM, UNARY
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(120), pytest.mark.xdist_group("hostile")]

ROOT = Path(__file__).resolve().parents[2]
CPU_S = 1.5
"""Maximum processor time of the server for one attack; each took at most 0.3 s on a busy machine."""
GROWTH_BYTES = 120 * 1024 * 1024
WORST_S = 2.5
"""Maximum wait of the good client; the attackers share its processor here."""
SECONDS = 3.0
GREETING = PREFACE + frame(SETTINGS, 0, 0)
WHOLE = END_HEADERS | END_STREAM
MEGABYTE = 1024 * 1024


def block(path: str = UNARY, **more: str) -> bytes:
    """Return the fields of a call; they add nothing to the table of the peer."""
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in request_fields(path, **more)])


BLOCK, STREAM_BLOCK, LARGE_BLOCK = block(), block(STREAM), block(LARGE)


def numbers(count: int) -> range:
    return range(1, 2 * count, 2)


def opened(number: int) -> bytes:
    return frame(HEADERS, END_HEADERS, number, STREAM_BLOCK)


def flood(one: bytes, count: int = 200_000) -> Iterator[bytes]:
    """Yield many equal frames on an open stream."""
    yield opened(1)
    piece = one * 500
    for _ in range(count // 500):
        yield piece


def resets(*, with_call: bool) -> Iterator[bytes]:
    for number in numbers(20_000):
        message = frame(DATA, END_STREAM, number, prefixed(b"m")) if with_call else b""
        yield frame(HEADERS, END_HEADERS, number, BLOCK) + message + frame(RST_STREAM, 0, number, b"\0\0\0\x08")


def provoked_resets() -> Iterator[bytes]:
    """Yield calls that the server has to reset: the next frame of each breaks its stream."""
    for number in numbers(20_000):
        yield opened(number) + frame(DATA, 0, number, prefixed(b"m")) + frames.window_update(number, 0)


def continuations(size: int, count: int) -> Iterator[bytes]:
    yield frame(HEADERS, 0, 1, BLOCK)
    piece = frame(CONTINUATION, 0, 1, bytes(size)) * max(1, 65_536 // (size + 9))
    for _ in range(count * (size + 9) // len(piece) + 1):
        yield piece


def bombs() -> Iterator[bytes]:
    """Yield blocks that have one large field, thousands of times by its index."""
    large = hpack.Encoder().encode([*request_fields(), ("x", "y" * 3_900)])
    for number in numbers(200):
        yield frame(HEADERS, WHOLE, number, large + b"\xbe" * 12_000)


def many_fields() -> Iterator[bytes]:
    """Yield blocks of 3,900 fields, none of which has a value."""
    for number in numbers(500):
        yield frame(HEADERS, WHOLE, number, BLOCK + b"\x00\x01a\x00" * 3_900)


def half_messages() -> Iterator[bytes]:
    for number in numbers(60):
        yield opened(number)
        part = (b"\0" + (2 * MEGABYTE).to_bytes(4, "big") + bytes(MEGABYTE - 65_536))[: MEGABYTE - 65_536]
        for at in range(0, len(part), 16_384):
            yield frame(DATA, 0, number, part[at : at + 16_384])


def large_fields() -> Iterator[bytes]:
    """Yield calls that never end, each with 48 KB of fields."""
    more = b"".join(b"\x00\x01" + bytes((97 + letter,)) + b"\x7f\x81\x7d" + b"v" * 16_128 for letter in range(3))
    for number in numbers(2_000):
        whole = STREAM_BLOCK + more
        yield frame(HEADERS, 0, number, whole[:16_384])
        yield frame(CONTINUATION, 0, number, whole[16_384:32_768]) + frame(
            CONTINUATION, 0, number, whole[32_768:49_152]
        )
        yield frame(CONTINUATION, END_HEADERS, number, whole[49_152:])


def unread() -> Iterator[bytes]:
    yield frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0")
    for number in numbers(3_000):
        yield frame(HEADERS, END_HEADERS, number, LARGE_BLOCK) + frame(DATA, END_STREAM, number, prefixed(b""))


def costly_texts() -> Iterator[bytes]:
    """Yield calls whose fields are as costly to decode as possible, without a method of that name."""
    text = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("x", "~|}" * 2_600)])
    fields = block("/test.Service/None")
    for number in numbers(1_000_000):
        yield frame(HEADERS, WHOLE, number, fields + text)


def calls_of_nothing() -> Iterator[bytes]:
    fields = block("/test.Service/None")
    for number in numbers(1_000_000):
        yield frame(HEADERS, WHOLE, number, fields)


CUT: dict[str, Callable[[], Iterator[bytes]]] = {
    "resets": lambda: resets(with_call=False),
    "calls that are reset": lambda: resets(with_call=True),
    "resets that are provoked": provoked_resets,
    "continuations": lambda: continuations(16_384, 2_500),
    "empty continuations": lambda: continuations(0, 1_000_000),
    "fields that grow when decoded": bombs,
    "thousands of fields": many_fields,
    "pings": lambda: flood(frame(PING, 0, 0, bytes(8))),
    "answers to pings": lambda: flood(frame(PING, ACK, 0, bytes(8))),
    "settings": lambda: flood(frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff")),
    "priorities": lambda: flood(frame(PRIORITY, 0, 3, b"\0\0\0\0\x10")),
    "empty data": lambda: flood(frame(DATA, 0, 1)),
    "padding": lambda: flood(frame(DATA, PADDED, 1, b"\xff" + bytes(255))),
    "window updates": lambda: flood(frames.window_update(0, 1)),
    "window updates of a stream": lambda: flood(frames.window_update(1, 1)),
    "unknown frames": lambda: flood(frame(77, 0, 0, bytes(8))),
    "open streams": lambda: (opened(number) for number in numbers(10_000)),
    "half messages": half_messages,
    "calls with large fields": large_fields,
    "answers that are not accepted": unread,
}
"""Attacks that end the connection."""

BUSY: dict[str, Callable[[], Iterator[bytes]]] = {"costly texts": costly_texts, "calls of nothing": calls_of_nothing}
"""Attacks that only cost time: the connection may go on, and others come before it."""


class GoodClient(threading.Thread):
    """Calls again and again, as a user of its own.

    Attributes:
        times: Seconds that each call has taken.
        failure: The first error, None if there was none.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._over = threading.Event()
        self.times: list[float] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        """Go on until stopped."""
        try:
            with grpc.insecure_channel(f"127.0.0.1:{self._port}") as channel:
                call = channel.unary_unary(UNARY)
                while not self._over.wait(0.02):
                    begun = time.monotonic()
                    assert call(b"good", timeout=30, metadata=(("x-user", "good"),)) == b"good"
                    self.times.append(time.monotonic() - begun)
        except Exception as exc:  # noqa: BLE001 - the test tells
            self.failure = exc

    def stop(self) -> None:
        """End."""
        self._over.set()
        self.join(40)


class Attacked:
    """A server in a process of its own, and its use of the machine."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        self._process = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def resident(self) -> int:
        return int(self._process.memory_info().rss)

    def connect(self, *, with_tls: bool) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), 10)
        if not with_tls:
            return plain
        context = client_context()
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(plain)

    def attack(self, parts: Iterator[bytes], *, with_tls: bool, seconds: float) -> tuple[bool, int]:
        """Send the bytes of an attack; return whether the server ended the connection, and its peak of memory."""
        end, peak = time.monotonic() + seconds, 0
        with self.connect(with_tls=with_tls) as peer:
            peer.settimeout(0.5)
            try:
                peer.sendall(GREETING)
                for number, part in enumerate(parts):
                    while True:
                        with contextlib.suppress(TimeoutError):
                            peer.sendall(part)
                            break
                        if time.monotonic() > end:
                            return False, peak
                    if number % 64 == 0:
                        peak = max(peak, self.resident())
                        if time.monotonic() > end:
                            return False, peak
                return self._is_ended(peer, end), max(peak, self.resident())
            except (OSError, ssl.SSLError):
                return True, max(peak, self.resident())

    @staticmethod
    def _is_ended(peer: socket.socket, end: float) -> bool:
        while time.monotonic() < end + 5:
            with contextlib.suppress(TimeoutError):
                if not peer.recv(1 << 18):
                    return True
        return False


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    command = [sys.executable, "-m", "tests.fixtures.hostile.grpc_server"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield Attacked(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.fixture
def good(attacked: Attacked) -> Iterator[GoodClient]:
    client = GoodClient(attacked.port)
    client.start()
    yield client
    client.stop()


def check(good: GoodClient) -> None:
    count = len(good.times)
    assert eventually(lambda: len(good.times) > count + 2 or good.failure is not None)
    good.stop()
    assert good.failure is None
    assert max(good.times) < WORST_S


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", CUT)
def test_an_attack_is_cut(attacked: Attacked, good: GoodClient, name: str, with_tls: bool) -> None:
    cpu, resident = attacked.cpu_s(), attacked.resident()
    is_cut, peak = attacked.attack(CUT[name](), with_tls=with_tls, seconds=10.0)
    used = attacked.cpu_s() - cpu
    check(good)
    assert is_cut
    assert used < CPU_S
    assert peak - resident < GROWTH_BYTES


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", BUSY)
def test_costly_calls_come_after_those_of_others(
    attacked: Attacked, good: GoodClient, name: str, with_tls: bool
) -> None:
    resident, peaks = attacked.resident(), []

    def run() -> None:
        peaks.append(attacked.attack(BUSY[name](), with_tls=with_tls, seconds=SECONDS)[1])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(good)
    assert max(peaks) - resident < GROWTH_BYTES
