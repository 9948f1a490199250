"""Lite topics after `kill -9` under load: each message comes until it and all earlier ones are acknowledged, in order."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqguard.model import properties, record
from tests.fixtures.access import ADMIN, create_topic, expect, send_fields
from tests.fixtures.server import Server
from tests.fixtures.wire import SEND, Wire

pytestmark = pytest.mark.timeout(300)

POP, SUBSCRIBE, ACK, CREATE_GROUP = 200070, 200071, 200051, 200
PARENT, GROUP = "parent", "lite-group"
LITES = [f"lite-{number}" for number in range(20)]
INVISIBLE_MS = 3_000
ROUNDS = 2
GONE = (OSError, EOFError)


@dataclasses.dataclass
class Filler:
    """A connection that sends as fast as it is answered, and keeps what was stored."""

    stored: set[str] = dataclasses.field(default_factory=set)

    def run(self, port: int, round_: int) -> None:
        try:
            with Wire(port, ADMIN) as wire:
                for number in range(100_000):
                    lite = LITES[number % len(LITES)]
                    body = f"{lite} {round_ * 100_000 + number}"
                    fields = send_fields(PARENT, 0, properties.text_of({"__LITE_TOPIC": lite}))
                    if wire.call(SEND, fields, body.encode()).code == 0:
                        self.stored.add(body)
        except GONE:
            return


def subscribe(wire: Wire, client: str) -> None:
    entry = {"action": "COMPLETE_ADD", "clientId": client, "group": GROUP, "topic": PARENT, "liteTopicSet": LITES}
    expect(wire.call(SUBSCRIBE, {}, json.dumps({"subscriptionSet": [entry]}).encode()))


def popped(wire: Wire, client: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Pop, and yield bodies with the fields that acknowledge them."""
    fields = {"clientId": client, "consumerGroup": GROUP, "topic": PARENT, "maxMsgNum": "8"}
    fields |= {"invisibleTime": str(INVISIBLE_MS), "pollTime": "200", "bornTime": "0"}
    answer = wire.call(POP, fields)
    if answer.code != 0:
        return
    ext = answer.ext
    for message in record.decode_all(answer.body):
        pairs = properties.parse(message.properties.decode())
        offset = pairs["INNER_MULTI_QUEUE_OFFSET"]
        handle = f"0 {ext['popTime']} {ext['invisibleTime']} {ext['reviveQid']} 0 broker-a 0 {offset}"
        about = {"consumerGroup": GROUP, "topic": PARENT, "liteTopic": pairs["__LITE_TOPIC"], "queueId": "0"}
        yield message.body.decode(), {**about, "offset": offset, "extraInfo": handle}


@dataclasses.dataclass
class Client:
    """A client that pops, and acknowledges each message until it meets one in ten, at which it gives the lite topic up.

    Attributes:
        acknowledged: Bodies whose acknowledgement was answered with success.
        doubtful: Bodies whose acknowledgement was never answered, so it may have been stored or not.
        repeated: Bodies that were delivered although they were acknowledged.
    """

    name: str
    acknowledged: set[str] = dataclasses.field(default_factory=set)
    doubtful: set[str] = dataclasses.field(default_factory=set)
    repeated: list[str] = dataclasses.field(default_factory=list)

    def run(self, port: int, random_: random.Random) -> None:
        try:
            with Wire(port, ADMIN) as wire:
                subscribe(wire, self.name)
                while True:
                    self.consume(wire, random_)
        except GONE:
            return

    def consume(self, wire: Wire, random_: random.Random) -> None:
        # The acknowledgement of a message that follows an open one is not final.
        failed: set[str] = set()
        for body, about in popped(wire, self.name):
            if body in self.acknowledged:
                self.repeated.append(body)
            if about["liteTopic"] in failed or not random_.randrange(10):
                failed.add(about["liteTopic"])
                continue
            self.doubtful.add(body)
            if wire.call(ACK, about).code == 0:
                self.acknowledged.add(body)
            self.doubtful.discard(body)


def drain(wire: Wire) -> tuple[list[str], list[str]]:
    """Pop and acknowledge until nothing comes any more; return what came, and what came after its acknowledgement."""
    done: dict[str, None] = {}
    repeated: list[str] = []
    subscribe(wire, "drain")
    quiet = time.monotonic() + 3 * INVISIBLE_MS / 1000
    while time.monotonic() < quiet:
        for body, about in popped(wire, "drain"):
            if body in done:
                repeated.append(body)
            if wire.call(ACK, about).code == 0:
                done[body] = None
            quiet = time.monotonic() + 3 * INVISIBLE_MS / 1000
    return list(done), repeated


def test_every_message_of_a_lite_topic_is_acknowledged_once_and_in_order(tmp_path: Path) -> None:
    filler, clients = Filler(), [Client("c"), Client("d")]
    with Server(tmp_path) as server:
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, PARENT, 1, "LITE")
            body = {"groupName": GROUP, "attributes": {"+lite.bind.topic": PARENT}}
            expect(wire.call(CREATE_GROUP, {}, json.dumps(body).encode()))
        for round_ in range(ROUNDS):
            port = server.broker_port
            work = [threading.Thread(target=filler.run, args=(port, round_))]
            work += [threading.Thread(target=one.run, args=(port, random.Random(round_))) for one in clients]
            for one in work:
                one.start()
            time.sleep(1.5)
            server.kill()
            for one in work:
                one.join()
            server.start()
        acknowledged = set().union(*(one.acknowledged for one in clients))
        doubtful = set().union(*(one.doubtful for one in clients))
        with Wire(server.broker_port, ADMIN) as wire:
            left, repeated = drain(wire)
    assert [body for one in clients for body in one.repeated] == repeated == []
    assert len(filler.stored) > 100
    assert not acknowledged & set(left)
    assert filler.stored - acknowledged - doubtful <= set(left)
    for lite in LITES:
        numbers = [int(number) for name, number in (body.split() for body in left) if name == lite]
        assert numbers == sorted(numbers)
