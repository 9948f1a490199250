"""Feed random bytes to all code that reads bytes of a peer.

For example:

    .venv/bin/python fuzz/fuzz_frame.py --seconds 60        a loop of mutated seeds; needs nothing else
    .venv/bin/python fuzz/fuzz_frame.py --atheris [options] guided by coverage; needs the package `atheris`

These rules must be true for all bytes:

- A reader returns values or raises its documented error.
- Every split of the bytes gives the same result.
- A value that was read can be written and read again.

An input that violates a rule is printed in hexadecimal.
"""

import argparse
import contextlib
import random
import sys
import time
import traceback

from mqguard.net import proxy_protocol
from mqguard.remoting import frame, lenient_json
from mqguard.remoting.bodies import access, clients, codec, groups, topics
from mqguard.remoting.command import BodyInvalid, Command, HeaderInvalid, RemoteProtocolError
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.pull import PullHeader
from mqguard.remoting.headers.send import read_send
from mqguard.remoting.signed_content import signed_content

MAX_FRAME = 65_536

BODIES = (
    access.AclInfo,
    access.UserInfo,
    clients.HeartbeatData,
    clients.LockBatch,
    groups.ConsumeStats,
    groups.GroupConfigBody,
    groups.ResetOffsets,
    topics.RegisterBrokerBody,
    topics.TopicRouteData,
    topics.TopicStats,
)

SEEDS = (
    bytes.fromhex("000000250100002100690001df0000000000000000000000000000000c0005746f7069630000000154"),
    frame.encode_request(Command(310, 7, ext={"a": "g", "b": "T", "e": "0", "i": "KEYS\x01k\x02"}, body=b"hello")),
    frame.encode_request(Command(11, 8, ext={"consumerGroup": "g", "topic": "T", "queueId": "0", "queueOffset": "1"})),
    frame.encode_request(
        Command(
            34,
            9,
            body=b'{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":[{"topic":"T",'
            b'"codeSet":[1]},{"$ref":"$.consumerDataSet[0].subscriptionDataSet[0]"}]}],"producerDataSet":null}',
        )
    ),
    frame.encode_request(
        Command(220, 1, body=b'{"offsetTable":{{"brokerName":"b","queueId":3,"topic":"T"}:7,"{\\"topic\\":1}":8}}')
    ),
    frame.encode_request(
        Command(3006, 2, body=b'{"subject":"User:a","policies":[{"entries":[{"actions":["Pub"],"resource":"*"}]}]}')
    ),
    b"\x00\x00\x00\x24\x00\x00\x00\x20{code:105,'extFields':{0:1.5,a:t}}",
    b"PROXY TCP4 10.1.2.3 10.9.8.7 1111 2222\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
)


class Broken(Exception):
    """A rule is violated."""


def demand(holds: bool, what: str) -> None:  # noqa: FBT001, a condition
    """Raise if a rule is violated; `assert` would not run with `-O`."""
    if not holds:
        raise Broken(what)


def check(data: bytes) -> None:
    """Raise if the bytes violate a rule."""
    commands, error = outcome([data])
    for pieces in ([data[at : at + 1] for at in range(len(data))], [data[: len(data) // 2], data[len(data) // 2 :]]):
        demand(outcome(pieces) == (commands, error), "a split changes what is read")
    for command in commands:
        check_command(command)
    check_body(data)
    if data:
        try:
            header = proxy_protocol.read(data)
            demand(header is None or header.size <= len(data), "a PROXY header is longer than its bytes")
        except proxy_protocol.ProxyHeaderInvalid:
            pass


def outcome(pieces: list[bytes]) -> tuple[list[Command], str | None]:
    """Return all commands, and the error that ended them."""
    reader = frame.FrameReader(MAX_FRAME)
    commands: list[Command] = []
    for piece in pieces:
        try:
            commands += reader.feed(piece)
        except RemoteProtocolError as exc:
            return commands + exc.commands, str(exc)
    return commands, None


def check_command(command: Command) -> None:
    """Write a command, read it again, sign it, and read it as typed headers and bodies."""
    demand(outcome([frame.encode_request(command)])[0] == [command], "a frame does not survive a round trip")
    if -32768 <= command.code <= 32767:
        frame.encode_reply(command.opaque, command.code, command.ext, command.remark, command.body)
    signed_content(command.ext, command.body, command.version)
    for reading in (lambda: read_send(command.code, command.ext), lambda: read(command.ext, PullHeader)):
        with contextlib.suppress(HeaderInvalid):
            reading()
    check_body(command.body)


def check_body(data: bytes) -> None:
    """Read a body as every type; if one succeeds, write it and read it again."""
    for kind in BODIES:
        try:
            body: object = codec.decode(data, kind)
        except BodyInvalid:
            continue
        demand(codec.decode(codec.encode(body), kind) == body, "a body does not survive a round trip")
    with contextlib.suppress(lenient_json.LenientJsonError):
        lenient_json.parse(data)


def mutate(chance: random.Random) -> bytes:
    """Return one or several seeds with a few changes."""
    data = bytearray(b"".join(chance.choices(SEEDS, k=chance.choice((1, 1, 1, 2, 3)))))
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at : at + chance.randrange(4)] = b""
            case 1:
                data[at:at] = chance.randbytes(chance.randrange(4))
            case 2:
                data[at : at + 1] = bytes([chance.choice(b"{}[]:,\"\\0\xff\x00-'")])
            case 3:
                end = chance.randrange(len(data) + 1)
                data[at:at] = data[min(at, end) : max(at, end)][:64]
            case _:
                data[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"null", b"true")
                )
    return bytes(data)


def run_random(seconds: float, seed: int) -> int:
    """Mutate seeds for some time, and return the exit code."""
    chance = random.Random(seed)
    deadline = time.monotonic() + seconds
    count = 0
    while time.monotonic() < deadline:
        data = mutate(chance)
        try:
            check(data)
        except Exception:  # noqa: BLE001, every error is a finding
            traceback.print_exc()
            sys.stderr.write(f"input {count} of seed {seed}: {data.hex()}\n")
            return 1
        count += 1
    sys.stdout.write(f"{count} inputs, nothing found (seed {seed})\n")
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--atheris", action="store_true")
    options, rest = parser.parse_known_args()
    if not options.atheris:
        return run_random(options.seconds, options.seed)

    import atheris  # noqa: PLC0415, needed only here

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *rest], check)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
