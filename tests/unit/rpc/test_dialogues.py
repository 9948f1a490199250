"""Recorded dialogues of the official clients, from their first byte to their last one, are served in any split.

Each client has started a producer, sent three messages and stopped, at a server that answered with constant messages.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqguard.rpc import frames
from mqguard.rpc.calls import EventKind, GrpcConnection, Methods
from mqguard.rpc.frames import DATA, END_STREAM, GOAWAY, HAS_PRIORITY, HEADERS, PREFACE, RST_STREAM, WINDOW_UPDATE
from mqguard.rpc.protocol import messages_pb2

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "dialogues"
CLIENTS = ("go", "java", "node", "python")
SERVICE = "/apache.rocketmq.v2.MessagingService/"
METHODS = messages_pb2.DESCRIPTOR.services_by_name["MessagingService"].methods
SPLITS = ("as it came", "at once", "byte by byte", "in threes")


def recorded(client: str) -> list[bytes]:
    return [base64.b64decode(part) for part in json.loads((FOLDER / f"{client}.json").read_text())["parts"]]


def split(parts: list[bytes], how: str) -> list[bytes]:
    whole = b"".join(parts)
    sizes = {"at once": len(whole), "byte by byte": 1, "in threes": 3}
    size = sizes.get(how)
    return parts if size is None else [whole[at : at + size] for at in range(0, len(whole), size)]


class Served:
    """A connection that has served the bytes of a client.

    Attributes:
        calls: Method and message of each call, in order.
        ends: Methods of the streams that the client has ended or cancelled.
        clients: The client identifiers of the calls.
    """

    def __init__(self, parts: list[bytes]) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self.ends: list[tuple[str, EventKind]] = []
        self.clients: set[str] = set()
        methods = Methods({SERVICE + one.name: one.client_streaming for one in METHODS})
        self.connection = GrpcConnection(methods, lambda: None)
        for part in parts:
            self.connection.push(part)
            while self.connection.has_input:
                self._serve()
            self.connection.take_output()

    def _serve(self) -> None:
        for event in self.connection.take(16, 1 << 20, 0.0):
            call, method = event.call, event.call.path.removeprefix(SERVICE)
            if event.kind in (EventKind.CALL, EventKind.MESSAGE):
                self.calls.append((method, event.message))
                self.clients.add(call.field("x-mq-client-id"))
                assert "Credential=orders-service" in call.field("authorization")
                assert len(call.field("x-mq-date-time")) == 16
            else:
                self.ends.append((method, event.kind))
            if event.kind is EventKind.CALL:
                call.reply(b"")
            elif event.kind is EventKind.MESSAGE:
                call.send(b"")
            elif event.kind is EventKind.END:
                call.end()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("how", SPLITS)
def test_a_recorded_client_is_served(client: str, how: str) -> None:
    served = Served(split(recorded(client), how))
    assert (served.connection.is_over, served.connection.failure) == (False, "")
    methods = [method for method, _ in served.calls]
    assert methods[0] == "QueryRoute"
    assert methods.count("SendMessage") == 3
    assert {"Telemetry", "Heartbeat", "NotifyClientTermination"} & set(methods) >= {"Telemetry"}
    assert len(served.clients) == 1
    inputs = {method.name: getattr(messages_pb2, method.input_type.name) for method in METHODS}
    sent = [inputs[method].FromString(message) for method, message in served.calls if method == "SendMessage"]
    assert [one.messages[0].topic.name for one in sent] == ["orders"] * 3
    assert (served.calls, served.ends) == (Served(recorded(client)).calls, Served(recorded(client)).ends)


def sent_frames(client: str) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield kind, flags, stream and payload of each frame of a client."""
    data = b"".join(recorded(client))
    assert data.startswith(PREFACE)
    at = len(PREFACE)
    while at < len(data):
        high, low, kind, flags, stream = frames.HEAD_FORM.unpack_from(data, at)
        end = at + frames.HEAD + (high << 8 | low)
        yield kind, flags, stream, data[at + frames.HEAD : end]
        at = end


def test_the_recordings_have_what_differs_between_clients() -> None:
    """The facts that a server must cope with: without them these tests would show less than they say."""
    java, python, node = ([*sent_frames(client)] for client in ("java", "python", "node"))
    opened = [(flags, stream) for kind, flags, stream, _ in java if kind == HEADERS]
    assert all(flags & HAS_PRIORITY for flags, _ in opened)
    assert opened[0][1] == 3
    assert [(kind, flags, payload) for kind, flags, _, payload in java][-2:] == [
        (DATA, END_STREAM, b""),
        (GOAWAY, 0, bytes(8)),
    ]
    tiny = [payload for kind, _, stream, payload in python if kind == WINDOW_UPDATE and stream]
    assert tiny.count(b"\0\0\0\5") == 5
    assert python[-2][::3] == (RST_STREAM, b"\0\0\0\x08")
    assert not [kind for kind, *_ in node if kind == WINDOW_UPDATE]
    assert len(recorded("go")[0]) < len(PREFACE) + 2 * frames.HEAD


@pytest.mark.parametrize(
    ("client", "expected"),
    [("java", EventKind.END), ("python", EventKind.CANCELLED), ("go", None), ("node", None)],
)
def test_a_client_that_stops_ends_telemetry_in_its_own_way(client: str, expected: EventKind | None) -> None:
    ends = Served(recorded(client)).ends
    assert ends == ([] if expected is None else [("Telemetry", expected)])
