"""gRPC calls of a real client on the port of the remoting protocol, plain and with TLS."""

import contextlib
import socket
import ssl
import threading

import grpc
import h2.connection
import hpack
import pytest

from mqguard.net.settings import NetSettings, TlsMode, TlsSettings
from mqguard.net.tls import client_context
from mqguard.rpc.calls import EventKind, GrpcStatus, Methods
from mqguard.rpc.errors import ErrorCode
from mqguard.rpc.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.fixtures.grpc_client import prefixed, request_fields
from tests.fixtures.waiting import eventually
from tests.unit.net.serving import Echo, proxy_v2, serving

UNARY, STREAM, FAIL, WAIT = (f"/test.Service/{name}" for name in ("Unary", "Stream", "Fail", "Wait"))


GREETING = PREFACE + frame(SETTINGS, 0, 0)


class EchoCalls:
    """Answers calls with their messages, and those of `WAIT` when the server stops."""

    def __init__(self):
        self.methods = Methods({UNARY: False, STREAM: True, FAIL: False, WAIT: False})
        self.open = set()
        self.waiting = set()
        self.addresses = set()

    def calls(self, link, events):
        """Answer each event."""
        self.addresses.add(link.peer.ip)
        for event in events:
            if user := event.call.field("x-user"):
                link.peer.channel.user = user
            if event.call.path == FAIL:
                event.call.fail(GrpcStatus.UNAVAILABLE, "not now")
            elif event.kind is EventKind.CALL and event.call.path == WAIT:
                self.waiting.add(event.call)
            elif event.kind is EventKind.CALL:
                event.call.reply(event.message)
            elif event.kind is EventKind.MESSAGE:
                self.open.add(event.call)
                event.call.send(event.message)
            elif event.kind is EventKind.END:
                event.call.end()
            else:
                self.open.discard(event.call)
                self.waiting.discard(event.call)

    def end_calls(self):
        """End all calls: the server stops."""
        for call in self.open:
            call.end()
        for call in self.waiting:
            call.reply(b"nothing came")


class GrpcPort:
    """A running server with both protocols."""

    def __init__(self, running, echo):
        self.running = running
        self.echo = echo
        self.port = running.port

    def connect(self):
        """Return a socket that is connected."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def channel(self):
        """Return a channel of a real client."""
        options = [("grpc.max_receive_message_length", -1)]
        return grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options)


@contextlib.contextmanager
def grpc_port(settings=None):
    """Run a server that answers calls with their messages."""
    echo = EchoCalls()
    with serving(Echo(), settings, calls=echo) as running:
        yield GrpcPort(running, echo)


@pytest.fixture
def port():
    with grpc_port() as found:
        yield found


@pytest.mark.parametrize("size", [0, 1, 70_000, 4 * 1024 * 1024])
def test_a_call_is_answered(port, size):
    with port.channel() as channel:
        assert channel.unary_unary(UNARY)(b"x" * size, timeout=20) == b"x" * size
    assert port.echo.addresses == {"127.0.0.1"}


def test_a_lost_connection_cancels_its_calls(port):
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.send_headers(1, request_fields(STREAM))
    client.send_data(1, prefixed(b"x"))
    with socket.create_connection(("127.0.0.1", port.port)) as connection:
        connection.sendall(client.data_to_send())
        assert eventually(lambda: len(port.echo.open) == 1)
    assert eventually(lambda: not port.echo.open)


def test_a_stream_is_answered_message_by_message(port):
    with port.channel() as channel:
        answers = channel.stream_stream(STREAM)(iter([b"a", b"b" * 20_000, b""]), timeout=20)
        assert list(answers) == [b"a", b"b" * 20_000, b""]


def test_statuses_reach_the_client(port):
    with port.channel() as channel:
        for path, code, details in (
            (FAIL, grpc.StatusCode.UNAVAILABLE, "not now"),
            ("/test.Service/None", grpc.StatusCode.UNIMPLEMENTED, "there is no method /test.Service/None"),
        ):
            with pytest.raises(grpc.RpcError) as failed:
                channel.unary_unary(path)(b"", timeout=20)
            assert (failed.value.code(), failed.value.details()) == (code, details)


def test_many_calls_at_once_are_answered(port):
    with port.channel() as channel:
        call = channel.unary_unary(UNARY)
        futures = [call.future(b"%d" % number, timeout=20) for number in range(300)]
        assert [future.result() for future in futures] == [b"%d" % number for number in range(300)]


def test_a_client_that_cancels_is_forgotten(port):
    with port.channel() as channel:
        answers = channel.stream_stream(STREAM)(iter([b"a"]), timeout=20)
        assert next(answers) == b"a"
        answers.cancel()
        assert channel.unary_unary(UNARY)(b"next", timeout=20) == b"next"
    assert not {call for call in port.echo.open if call.is_open}


def test_tls_and_plain_calls_share_the_port():
    with grpc_port(NetSettings(tls=TlsSettings(mode=TlsMode.PERMISSIVE))) as server:
        certificate = server_certificate(server.port)
        credentials = grpc.ssl_channel_credentials(certificate)
        options = [("grpc.ssl_target_name_override", "localhost")]
        with (
            grpc.secure_channel(f"127.0.0.1:{server.port}", credentials, options) as secure,
            server.channel() as plain,
        ):
            assert secure.unary_unary(UNARY)(b"secret", timeout=20) == b"secret"
            assert plain.unary_unary(UNARY)(b"open", timeout=20) == b"open"


def server_certificate(port):
    return ssl.get_server_certificate(("127.0.0.1", port)).encode()


@pytest.mark.parametrize("parts", [[b"P", b"RI", PREFACE[3:]], [PREFACE]])
def test_the_first_bytes_may_come_in_pieces(port, parts):
    with socket.create_connection(("127.0.0.1", port.port), 10) as peer:
        for part in parts:
            peer.sendall(part)
            threading.Event().wait(0.05)
        peer.sendall(b"\0\0\0\4\0\0\0\0\0")
        assert peer.recv(9)[3] == 4


def test_junk_after_the_preface_ends_the_connection(port):
    with socket.create_connection(("127.0.0.1", port.port), 10) as peer:
        peer.sendall(PREFACE + b"junk" * 100)
        data = b""
        while part := peer.recv(4096):
            data += part
        assert data[-4:] != b""
        assert b"settings" in data


def test_a_stopping_server_ends_open_calls_with_an_answer(port):
    with port.channel() as channel:
        waiting = channel.unary_unary(WAIT).future(b"a", timeout=20)
        stream = channel.stream_stream(STREAM)(iter_until(port.running.ending.is_set, b"a"), timeout=20)
        assert next(stream) == b"a"
        assert eventually(lambda: port.echo.waiting)
        port.running.stop()
        assert waiting.result() == b"nothing came"
        assert list(stream) == []
        assert stream.code() is grpc.StatusCode.OK


def iter_until(is_over, first):
    """Yield a message, and wait before the end."""
    yield first
    eventually(is_over)
    threading.Event().wait(1)


def frames_of(peer):
    """Yield kind, stream and payload of each frame until the end of the connection."""
    with peer.makefile("rb") as stream:
        while head := stream.read(9):
            yield head[3], int.from_bytes(head[5:9], "big"), stream.read(int.from_bytes(head[:3], "big"))


def test_a_stopping_server_announces_it_answers_and_closes(port):
    """The order: GOAWAY with the last stream, the answer of a call that was half sent, the end."""
    block = hpack.Encoder().encode(request_fields(UNARY))
    with port.connect() as peer:
        peer.sendall(GREETING + frame(HEADERS, END_HEADERS, 3, block))
        received = frames_of(peer)
        assert [next(received)[0] for _ in range(3)] == [SETTINGS, WINDOW_UPDATE, SETTINGS]
        port.running.stop()
        kind, _, payload = next(received)
        assert (kind, payload) == (GOAWAY, (3).to_bytes(4, "big") + bytes(4))
        late = hpack.Encoder().encode(request_fields(UNARY))
        peer.sendall(frame(HEADERS, END_HEADERS, 5, late) + frame(DATA, END_STREAM, 3, prefixed(b"hello")))
        rest = list(received)
    assert [(kind, stream) for kind, stream, _ in rest] == [(RST_STREAM, 5), (HEADERS, 3), (DATA, 3), (HEADERS, 3)]
    assert rest[0][2] == int(ErrorCode.REFUSED_STREAM).to_bytes(4, "big")
    assert rest[2][2] == prefixed(b"hello")


def test_a_client_that_disappears_with_a_half_message_is_forgotten(port):
    block = hpack.Encoder().encode(request_fields(STREAM))
    with port.connect() as peer:
        peer.sendall(
            GREETING + frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 0, 1, prefixed(b"x" * 9_000)[:5_000])
        )
        assert eventually(lambda: port.running.server.held > 5_000)
    assert eventually(lambda: not port.running.server.links)
    assert port.running.server.held == 0


def test_a_user_pays_for_its_calls_and_what_they_hold(port):
    """The accounts of time and memory, and the limits of connections, are those of the remoting protocol."""
    block = hpack.Encoder().encode([*request_fields(STREAM), ("x-user", "alice")])
    with port.connect() as peer:
        peer.sendall(GREETING + frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 0, 1, prefixed(b"first")))
        assert (DATA, 1, prefixed(b"first")) in [next(got) for got in [frames_of(peer)] for _ in range(5)]
        lanes = port.running.server.scheduler.lanes
        account = lanes["authenticated"].accounts["alice"]
        assert (account.links, account.held) == (1, 0)
        assert account.used >= 0
        peer.sendall(frame(DATA, 0, 1, prefixed(b"x" * 9_000)[:5_000]))
        assert eventually(lambda: account.held == 5_000)
        assert lanes["anonymous"].held == 0
        before = account.used
        calls = [hpack.Encoder().encode([*request_fields(UNARY), ("x-user", "alice")]) for _ in range(200)]
        for number, call in enumerate(calls):
            stream = 3 + 2 * number
            peer.sendall(frame(HEADERS, END_HEADERS, stream, call) + frame(DATA, END_STREAM, stream, prefixed(b"")))
        assert eventually(lambda: account.used > before)
    assert eventually(lambda: (account.links, account.held) == (0, 0))


def test_an_idle_connection_with_an_open_call_is_closed():
    with grpc_port(NetSettings(idle_seconds=0.4, silent_seconds=0.4)) as port, port.connect() as peer:
        block = hpack.Encoder().encode(request_fields(WAIT))
        peer.sendall(GREETING + frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, prefixed(b"")))
        assert [kind for kind, _, _ in frames_of(peer)][-1] == GOAWAY


def test_a_proxy_header_may_precede_a_call():
    settings = NetSettings(proxy_protocol_peers=("127.0.0.0/8",))
    with grpc_port(settings) as port, port.connect() as peer:
        block = hpack.Encoder().encode(request_fields(UNARY))
        call = frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, prefixed(b"hello"))
        peer.sendall(proxy_v2("10.9.8.7", 55) + GREETING + call)
        assert (DATA, 1, prefixed(b"hello")) in [next(received) for received in [frames_of(peer)] for _ in range(5)]
        assert port.echo.addresses == {"10.9.8.7"}


@pytest.mark.parametrize("offered", [["h2"], ["http/1.1", "h2"], []])
def test_tls_clients_may_choose_h2(port, offered):
    context = client_context()
    if offered:
        context.set_alpn_protocols(offered)
    block = hpack.Encoder().encode(request_fields(UNARY))
    with context.wrap_socket(port.connect()) as peer:
        assert peer.selected_alpn_protocol() == ("h2" if offered else None)
        peer.sendall(GREETING + frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, prefixed(b"x")))
        assert (DATA, 1, prefixed(b"x")) in [next(received) for received in [frames_of(peer)] for _ in range(5)]


def test_a_stopping_server_says_goodbye(port):
    with port.channel() as channel:
        assert channel.unary_unary(UNARY)(b"a", timeout=20) == b"a"
        port.running.stop()
        ended = None
        while ended is None:
            ended = channel.unary_unary(UNARY).future(b"b", timeout=2).exception()
        assert ended.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
