"""Feed changed dialogues of gRPC clients to the codec of HTTP/2.

For example:

    .venv/bin/python fuzz/fuzz_http2.py --seconds 60

These rules must be true for all bytes:

- The connection returns events, or ends with a reason; nothing is raised.
- Every split of the bytes gives the same events and the same end.
- Everything that is sent is whole frames, and each call is answered once at most.
- What a connection holds is never negative, and nothing after its end.

An input that violates a rule is printed in hexadecimal.
"""

import argparse
import base64
import json
import random
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mqguard.rpc import frames
from mqguard.rpc.calls import EventKind, GrpcConnection, Methods
from mqguard.rpc.errors import ErrorCode
from mqguard.rpc.frames import END_STREAM, HEAD, HEADERS, PREFACE, RST_STREAM
from mqguard.rpc.protocol import messages_pb2

DIALOGUES = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "dialogues"
SERVICE = messages_pb2.DESCRIPTOR.services_by_name["MessagingService"]
METHODS = Methods({f"/{SERVICE.full_name}/{one.name}": one.client_streaming for one in SERVICE.methods})
ANSWER = bytes(3_000)


class Broken(Exception):
    """A rule is violated."""


class Outcome(NamedTuple):
    """What a connection made of its bytes.

    Attributes:
        events: Kind, stream and message of each event.
        is_over: True if the connection has ended.
        failure: The reason for it.
    """

    events: list[tuple[EventKind, int, bytes]]
    is_over: bool
    failure: str


def demand(holds: bool, what: str) -> None:  # noqa: FBT001, a condition
    """Raise if a rule is violated; `assert` would not run with `-O`."""
    if not holds:
        raise Broken(what)


def split_frames(data: bytes) -> Iterator[bytes]:
    """Yield each frame of valid bytes."""
    at = 0
    while at < len(data):
        end = at + HEAD + int.from_bytes(data[at : at + 3], "big")
        demand(end <= len(data), "a frame is sent in part")
        yield data[at:end]
        at = end


def seeds() -> list[list[bytes]]:
    """Return the frames of each recorded dialogue, without the preface."""
    found = []
    for path in sorted(DIALOGUES.glob("*.json")):
        data = b"".join(base64.b64decode(part) for part in json.loads(path.read_text())["parts"])
        found.append(list(split_frames(data[len(PREFACE) :])))
    return found


def outcome(pieces: list[bytes], *, is_answered: bool) -> Outcome:
    """Serve the pieces."""
    connection = GrpcConnection(METHODS, lambda: None)
    events: list[tuple[EventKind, int, bytes]] = []
    ended: set[int] = set()
    for piece in pieces:
        connection.push(piece)
        while connection.has_input:
            # One frame at a time, so that answers do not depend on the split either.
            for event in connection.take(1, 1 << 20, 0.0):
                events.append((event.kind, event.call.stream, event.message))
                if is_answered and event.kind is not EventKind.CANCELLED:
                    event.call.reply(ANSWER) if event.kind is EventKind.CALL else event.call.send(event.message)
            demand(connection.held >= 0 and connection.unsent >= 0, "a count is negative")
        for frame in split_frames(connection.take_output()):
            stream = int.from_bytes(frame[5:HEAD], "big")
            if frame[3] == HEADERS and frame[4] & END_STREAM:
                demand(stream not in ended, "a call is answered twice")
                ended.add(stream)
            demand(frame[3] != RST_STREAM or stream != 0, "the connection is reset like a stream")
    found = Outcome(events, connection.is_over, connection.failure)
    connection.end(ErrorCode.NO_ERROR)
    demand(connection.held == 0 and connection.unsent == 0, "an ended connection holds something")
    return found


def check(data: bytes) -> None:
    """Raise if the bytes violate a rule."""
    for is_answered in (False, True):
        whole = outcome([data], is_answered=is_answered)
        half = len(data) // 2
        for pieces in ([data[at : at + 7] for at in range(0, len(data), 7)], [data[:half], data[half:]]):
            demand(outcome(pieces, is_answered=is_answered) == whole, "a split changes what is read")


def mutate(chance: random.Random, known: list[list[bytes]]) -> bytes:
    """Return a dialogue with a few changes of whole frames, and of bytes."""
    parts = list(chance.choice(known))[: chance.randrange(2, 30)]
    for _ in range(chance.randrange(5)):
        at = chance.randrange(len(parts))
        match chance.randrange(6):
            case 0:
                parts.insert(at, chance.choice(chance.choice(known)))
            case 1:
                parts.insert(at, parts[chance.randrange(len(parts))])
            case 2 if len(parts) > 1:
                del parts[at]
            case 3:
                whole = bytearray(parts[at])
                whole[chance.randrange(3, HEAD)] = chance.choice(
                    (0, 1, 4, 5, 8, 0x20, 0x24, 0x2D, chance.randrange(256))
                )
                parts[at] = bytes(whole)
            case 4:
                payload = chance.randbytes(chance.choice((0, 1, 4, 5, 8, 200)))
                parts.insert(
                    at, frames.frame(chance.randrange(11), chance.randrange(64), chance.randrange(12), payload)
                )
            case _:
                whole = bytearray(parts[at])
                place = chance.randrange(len(whole))
                whole[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
                parts[at] = bytes(whole)
    return PREFACE + b"".join(parts)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    chance, known = random.Random(options.seed), seeds()
    deadline, count = time.monotonic() + options.seconds, 0
    while time.monotonic() < deadline:
        data = mutate(chance, known)
        try:
            check(data)
        except Exception:  # noqa: BLE001, every error is a finding
            traceback.print_exc()
            sys.stderr.write(f"input {count} of seed {options.seed}: {data.hex()}\n")
            return 1
        count += 1
    sys.stdout.write(f"{count} inputs, nothing found (seed {options.seed})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
