"""Closed-loop load on a broker's port: signed frames from N connections with D in flight each.

Frames are created and signed before the measurement, so the generator costs little. The signature does not cover the
opaque number. Reads and writes are plain asyncio on uvloop.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import hashlib
import hmac
import json
import struct
import time
from typing import Any

import uvloop

Request = tuple[dict[str, str], bytes]
OPAQUE = b"1234567890"
FIRST = 1_000_000_000


@dataclasses.dataclass
class Load:
    """Requests to send, and their rate.

    Attributes:
        port: The broker's port on 127.0.0.1.
        requests: Ext fields and body of each kind of request; they are sent in rotation.
        code: The request code.
        access_key: The user that signs; empty for unsigned requests.
        secret_key: The secret of that user.
        connections: The number of connections.
        depth: Requests in flight on each.
        warm: Seconds before the measurement.
        seconds: Seconds of the measurement.
        pace: Requests per second of all connections together, sent whether answers have come or not. With 0, each
            answer triggers the next request.
        client: Class of the connections, which sends the requests and counts the answers.
    """

    port: int
    requests: list[Request]
    code: int = 310
    access_key: str = ""
    secret_key: str = ""
    connections: int = 16
    depth: int = 8
    warm: float = 2.0
    seconds: float = 8.0
    pace: float = 0.0
    client: type[Client] | None = None


@dataclasses.dataclass
class Outcome:
    """Answers during the measurement.

    Attributes:
        codes: Answers by response code.
        seconds: The time of the measurement.
        latencies: Seconds from each request to its answer, sorted. With a pace, from the time at which it was due.
        bytes_in: Bytes of the answers.
        served: Answers of each connection.
    """

    codes: collections.Counter[int]
    seconds: float
    latencies: list[float]
    bytes_in: int
    served: list[int] = dataclasses.field(default_factory=list)

    @property
    def rate(self) -> float:
        """Successful answers per second, those of pulls without a matching message included."""
        return sum(n for code, n in self.codes.items() if code in {0, 10, 11, 12, 20}) / self.seconds

    def quantile(self, q: float) -> float:
        """Return a quantile of the latency, in milliseconds."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(q * len(self.latencies)))]


def frame(load: Load, ext: dict[str, str], body: bytes) -> tuple[bytes, bytes]:
    """Return a frame in two halves, to be joined by the ten digits of an opaque number."""
    if load.access_key:
        ext = dict(ext, AccessKey=load.access_key)
        content = "".join(value for _, value in sorted(ext.items())).encode() + body
        ext["Signature"] = base64.b64encode(hmac.digest(load.secret_key.encode(), content, hashlib.sha1)).decode()
    head = {"code": load.code, "extFields": ext, "flag": 0, "language": "JAVA", "opaque": int(OPAQUE)}
    header = json.dumps(head | {"serializeTypeCurrentRPC": "JSON", "version": 453}, separators=(",", ":")).encode()
    before, after = header.split(OPAQUE)
    return struct.pack(">II", 4 + len(header) + len(body), len(header)) + before, after + body


class Client(asyncio.Protocol):
    """One connection; each answer triggers the next request."""

    def __init__(self, load: Load, frames: list[tuple[bytes, bytes]], outcome: Outcome, state: dict[str, bool]) -> None:
        self.load, self.frames, self.outcome, self.state = load, frames, outcome, state
        self.buffer = b""
        self.sent: dict[int, float] = {}
        self.count = 0
        self.served = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        if not self.load.pace:
            self.transport.write(b"".join(self.request(time.perf_counter()) for _ in range(self.load.depth)))

    def request(self, due: float) -> bytes:
        """Return the next request, whose latency counts from a time of the clock."""
        self.count += 1
        before, after = self.frames[self.count % len(self.frames)]
        self.sent[self.count] = due
        return before + b"%d" % (FIRST + self.count) + after

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        at, out = 0, []
        while len(buffer) - at >= 4:
            length = int.from_bytes(buffer[at : at + 4], "big")
            if len(buffer) - at - 4 < length:
                break
            header = json.loads(buffer[at + 8 : at + 8 + int.from_bytes(buffer[at + 5 : at + 8], "big")])
            at += 4 + length
            if self.state["counting"]:
                self.outcome.bytes_in += length
            out += self.answered(header)
        self.buffer = buffer[at:]
        if out:
            self.transport.write(b"".join(out))

    def answered(self, header: dict[str, Any]) -> list[bytes]:
        """Count an answer, and return the frames that follow it."""
        started = self.sent.pop(header["opaque"] - FIRST, None)
        if started is not None:
            self.count_answer(header["code"], started)
        return self.next_request()

    def count_answer(self, code: int, started: float | None) -> None:
        """Count an answer, and its latency if it ends what began at a time of the clock."""
        if self.state["counting"]:
            self.outcome.codes[code] += 1
            self.served += 1
            if started is not None:
                self.outcome.latencies.append(time.perf_counter() - started)

    def next_request(self) -> list[bytes]:
        """Return the request that follows an answer, unless the load ends or has a pace."""
        return [] if self.state["stopping"] or self.load.pace else [self.request(time.perf_counter())]


async def drive(load: Load) -> Outcome:
    """Run the load and count."""
    frames = [frame(load, ext, body) for ext, body in load.requests]
    outcome = Outcome(collections.Counter(), 0.0, [], 0)
    state = {"counting": False, "stopping": False}
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    kind = load.client or Client
    for _ in range(load.connections):
        _, client = await loop.create_connection(lambda: kind(load, frames, outcome, state), "127.0.0.1", load.port)
        clients.append(client)
    async with asyncio.TaskGroup() as tasks:
        pacing = tasks.create_task(pace(clients, load.pace)) if load.pace else None
        await asyncio.sleep(load.warm)
        state["counting"], started = True, time.perf_counter()
        await asyncio.sleep(load.seconds)
        state["counting"], outcome.seconds = False, time.perf_counter() - started
        state["stopping"] = True
        if pacing is not None:
            pacing.cancel()
        await asyncio.sleep(0.3)
    outcome.latencies.sort()
    outcome.served = [client.served for client in clients]
    return outcome


async def pace(clients: list[Client], rate: float) -> None:
    """Send this number of requests per second over connections in rotation, until cancelled."""
    started, sent = time.perf_counter(), 0
    while True:
        while (due := started + sent / rate) <= time.perf_counter():
            client = clients[sent % len(clients)]
            client.transport.write(client.request(due))
            sent += 1
        await asyncio.sleep(0.001)


def run(load: Load) -> Outcome:
    """Run the load on a new event loop."""
    return uvloop.run(drive(load))


def run_together(loads: list[Load]) -> Outcome:
    """Run several loads at once on a new event loop; return their joint outcome."""

    async def drive_all() -> list[Outcome]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(drive(one)) for one in loads]
        return [task.result() for task in running]

    outcomes = uvloop.run(drive_all())
    joint = Outcome(collections.Counter(), outcomes[0].seconds, [], 0)
    for one in outcomes:
        joint.codes.update(one.codes)
        joint.latencies += one.latencies
        joint.bytes_in += one.bytes_in
        joint.served += one.served
    joint.latencies.sort()
    return joint


def sends(topic: str, size: int = 1024, queues: int = 4) -> list[Request]:
    """Return SEND_MESSAGE_V2 requests like those of Java's producer, one for each queue."""
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    common = {"a": "bench_pg", "b": topic, "c": "TBW102", "d": str(queues), "f": "0", "g": "1700000000000", "h": "0"}
    rest = {"j": "0", "k": "false", "l": "0", "m": "false", "n": "broker-a"}
    return [
        ({**common, "e": str(q), "i": f"UNIQ_KEY\x01AC110001{q:08d}\x02WAIT\x01true\x02", **rest}, body)
        for q in range(queues)
    ]


def pulls(topic: str, group: str, ends: list[int], count: int = 32, places: int = 64) -> list[Request]:
    """Return PULL_MESSAGE requests, spread evenly over queues that have at least these numbers of messages."""
    common = {"consumerGroup": group, "topic": topic, "maxMsgNums": str(count), "sysFlag": "4"}
    rest = {"commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0"}
    return [
        (
            {
                **common,
                "queueOffset": str(end * place // places),
                "queueId": str(queue),
                **rest,
                "expressionType": "TAG",
            },
            b"",
        )
        for place in range(places)
        for queue, end in enumerate(ends)
    ]
