#!/usr/bin/env python3
"""Measure the codec of gRPC alone: microseconds of a call, without sockets and without a handler.

Usage: `python bench/grpc_codec.py`, with `--calls N`, `--rounds N` and `--profile` for a profile of each form.

Each client has its own form of header fields, and sends window updates or pings with its calls. A call is a signed
`SendMessage` of 300 bytes, and its answer has 120. All bytes are made before the measurement. Every request has an
identifier of its own, and the date with its signature changes after 50 calls.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import hashlib
import pstats
import time
from collections.abc import Callable, Iterator

import hpack

from mqguard.rpc import frames
from mqguard.rpc.calls import EventKind, GrpcConnection, Methods
from mqguard.rpc.frames import DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, PING, PREFACE, SETTINGS, frame

PATH = "/apache.rocketmq.v2.MessagingService/SendMessage"
MESSAGE = bytes(300)
ANSWER = bytes(120)
INDEXED = {":method", ":scheme", ":authority", "te", "content-type", "user-agent", "grpc-accept-encoding"}
PREFIXED = b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE
CALLS_AT_ONCE = 4
"""Calls that arrive in one piece."""


def fields(number: int) -> Iterator[tuple[str, str, bool]]:
    """Yield the fields of a call, and whether the value stays the same for some time."""
    unique = hashlib.sha256(str(number).encode()).hexdigest()
    signature = hashlib.sha1(str(number // 50).encode()).hexdigest().upper()
    yield from ((":method", "POST", True), (":scheme", "http", True), (":path", PATH, True))
    yield from ((":authority", "127.0.0.1:8081", True), ("te", "trailers", True))
    yield from (("content-type", "application/grpc", True), ("user-agent", "grpc-java-netty/1.50.0", True))
    yield from (("x-mq-language", "JAVA", True), ("x-mq-protocol", "v2", True), ("x-mq-client-version", "5.2.0", True))
    yield ("x-mq-client-id", "host-one.example@2041@0@1a2b3c4d5e", True)
    yield ("x-mq-request-id", f"{unique[:8]}-{unique[8:12]}-{unique[12:16]}-{unique[16:20]}-{unique[20:32]}", False)
    yield ("x-mq-date-time", f"20261130T01{number // 3000 % 60:02d}{number // 50 % 60:02d}Z", True)
    credentials = f"MQv2-HMAC-SHA1 Credential=orders-service, SignedHeaders=x-mq-date-time, Signature={signature}"
    yield ("authorization", credentials, True)
    yield from (("grpc-accept-encoding", "gzip", True), ("grpc-timeout", f"{2_999_000 + number % 900}u", False))


def partly_indexing() -> Callable[[int], bytes]:
    """Return an encoder as clients on the C core have it: literals, with an index of what their library itself adds."""
    encoder = hpack.Encoder()

    def encode(number: int) -> bytes:
        block = b""
        for name, value, _ in fields(number):
            if name in INDEXED:
                block += encoder.encode([(name, value)], huffman=False)
            else:
                block += b"\x00" + _text(name) + _text(value)
        return block

    return encode


def _text(text: str) -> bytes:
    size = len(text)
    head = bytes((size,)) if size < 127 else bytes((127, size - 127))
    return head + text.encode()


def indexing(*, huffman: bool) -> Callable[[int], bytes]:
    """Return an encoder that has an index of the fields that stay the same."""
    encoder = hpack.Encoder()

    def encode(number: int) -> bytes:
        named = [
            hpack.HeaderTuple(name, value) if stays else hpack.NeverIndexedHeaderTuple(name, value)
            for name, value, stays in fields(number)
        ]
        return encoder.encode(named, huffman=huffman)

    return encode


def java(count: int) -> Iterator[bytes]:
    """Yield the calls of the client for Java: indexed, a priority, and a ping for about every second answer."""
    encode = indexing(huffman=False)
    for number in range(count):
        stream = 3 + 2 * number
        yield (
            frame(HEADERS, END_HEADERS | HAS_PRIORITY, stream, b"\0\0\0\0\x0f" + encode(number))
            + frame(DATA, END_STREAM, stream, PREFIXED)
            + (frame(PING, 0, 0, b"\0\0\0\0\0\0\x04\xd2") if number % 2 else b"")
        )


def c_core(count: int) -> Iterator[bytes]:
    """Yield the calls of clients on the C core: literals, and small window updates."""
    encode = partly_indexing()
    for number in range(count):
        stream = 1 + 2 * number
        yield (
            frame(HEADERS, END_HEADERS, stream, encode(number))
            + frames.window_update(stream, 5)
            + frame(DATA, END_STREAM, stream, PREFIXED)
            + frames.window_update(0, 5)
        )


def huffman(count: int) -> Iterator[bytes]:
    """Yield the calls of the clients for Go, Node and Rust: indexed, with Huffman codes."""
    encode = indexing(huffman=True)
    for number in range(count):
        stream = 1 + 2 * number
        yield frame(HEADERS, END_HEADERS, stream, encode(number)) + frame(DATA, END_STREAM, stream, PREFIXED)


FORMS = {"Java": java, "Huffman codes": huffman, "C core": c_core}


def run(parts: list[bytes]) -> tuple[float, int]:
    """Serve all parts; return the seconds, and the number of calls."""
    connection = GrpcConnection(Methods({PATH: False}), lambda: None)
    connection.push(PREFACE + frame(SETTINGS, 0, 0, b"\0\x04\0\x10\0\0") + frames.window_update(0, 2**30))
    connection.take(100, 1 << 20, 0.0)
    connection.take_output()
    served, now = 0, 0.0
    begun = time.process_time()
    for part in parts:
        connection.push(part)
        while connection.has_input:
            for event in connection.take(64, 1 << 20, now):
                if event.kind is EventKind.CALL:
                    event.call.reply(ANSWER)
                    served += 1
        connection.take_output()
        now += 0.1
    return time.process_time() - begun, served


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print a profile of each form")
    options = parser.parse_args()
    made = {name: list(make(options.calls)) for name, make in FORMS.items()}
    parts = {
        name: [b"".join(calls[at : at + CALLS_AT_ONCE]) for at in range(0, len(calls), CALLS_AT_ONCE)]
        for name, calls in made.items()
    }
    gc.collect()
    gc.freeze()
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, pieces in parts.items():
            seconds, served = run(pieces)
            if served != options.calls:
                raise SystemExit(f"{name}: {served} calls were served, and {options.calls} were sent")
            best[name] = min(best.get(name, seconds), seconds)
    for name, seconds in best.items():
        size = sum(map(len, parts[name])) // options.calls
        print(f"{name}: {seconds / options.calls * 1e6:.1f} µs per call, {size} bytes of the client")
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(run, parts[name])
            pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
