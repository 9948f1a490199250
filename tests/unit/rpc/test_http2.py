"""The end of streams and connections that break HTTP/2, and the bounds of what a peer can make the server do."""

import time

import hpack as oracle
import pytest

from mqguard.rpc import frames
from mqguard.rpc.calls import MAX_MESSAGE, OPEN_CALL, EventKind, GrpcConnection
from mqguard.rpc.errors import ErrorCode
from mqguard.rpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.fixtures.grpc_client import STREAM, UNARY, GrpcWire, connection, prefixed, request_fields

GREETING = PREFACE + frame(SETTINGS, 0, 0)
WHOLE = END_HEADERS | END_STREAM


def fields(path: str = UNARY, **more: str) -> bytes:
    return oracle.Encoder().encode(request_fields(path, **more))


def opening(stream: int = 1, path: str = UNARY) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, fields(path))


def run(*parts: bytes, seconds: float = 0.0) -> GrpcConnection:
    """Give bytes to a new connection, and serve nothing."""
    server = connection()
    server.push(b"".join((GREETING, *parts)))
    now = 0.0
    while server.has_input:
        server.take(16, 1 << 20, now)
        now += seconds
    return server


def sent(server: GrpcConnection) -> list[tuple[int, int, bytes]]:
    """Return kind, stream and payload of each frame that the server sends."""
    data, out = server.take_output(), []
    while data:
        size = int.from_bytes(data[:3], "big")
        out.append((data[3], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return out


def goodbye(server: GrpcConnection) -> int | None:
    """Return the code with which the server ended the connection."""
    codes = [int.from_bytes(payload[4:8], "big") for kind, _, payload in sent(server) if kind == GOAWAY]
    return codes[0] if codes else None


SELF_DEPENDENT = (1).to_bytes(4, "big") + b"\x10"

FATAL = {
    "data on the connection": (frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on an idle stream": (frame(DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
    "fields on the connection": (frame(HEADERS, WHOLE, 0, fields()), ErrorCode.PROTOCOL_ERROR),
    "a stream of the server": (frame(HEADERS, WHOLE, 2, fields()), ErrorCode.PROTOCOL_ERROR),
    "a stream below the last": (opening(5) + opening(3), ErrorCode.STREAM_CLOSED),
    "a block that is no block": (frame(HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
    "another frame within a block": (
        frame(HEADERS, 0, 1, fields()) + frame(PING, 0, 0, bytes(8)),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "a continuation of another stream": (
        frame(HEADERS, 0, 1, fields()) + frame(CONTINUATION, END_HEADERS, 3),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1), ErrorCode.PROTOCOL_ERROR),
    "padding over the frame": (opening() + frame(DATA, PADDED, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
    "padding of nothing": (frame(HEADERS, PADDED | WHOLE, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "a priority that is too short": (frame(HEADERS, HAS_PRIORITY | WHOLE, 1, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "a frame that is too long": (b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", ErrorCode.FRAME_SIZE_ERROR),
    "a push": (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "settings for a stream": (frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
    "settings of an odd size": (frame(SETTINGS, 0, 0, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "acknowledged settings with content": (frame(SETTINGS, ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    "a push setting that is no switch": (frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\x02"), ErrorCode.PROTOCOL_ERROR),
    "a window that is too large": (frame(SETTINGS, 0, 0, b"\0\x04\x80\0\0\0"), ErrorCode.FLOW_CONTROL_ERROR),
    "frames that are too small": (frame(SETTINGS, 0, 0, b"\0\x05\0\0\0\x01"), ErrorCode.PROTOCOL_ERROR),
    "a ping for a stream": (frame(PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "a ping of another size": (frame(PING, 0, 0, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "a reset of another size": (opening() + frame(RST_STREAM, 0, 1, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "a reset of an idle stream": (frame(RST_STREAM, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a reset of the connection": (frame(RST_STREAM, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a window update of another size": (frame(WINDOW_UPDATE, 0, 0, b"a"), ErrorCode.FRAME_SIZE_ERROR),
    "a window update of nothing": (frame(WINDOW_UPDATE, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a window update of an idle stream": (frames.window_update(1, 1), ErrorCode.PROTOCOL_ERROR),
    "a window over the maximum": (frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "a priority for the connection": (frame(PRIORITY, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    "a GOAWAY for a stream": (frame(GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", FATAL)
def test_a_connection_that_breaks_the_protocol_ends_with_a_code(name: str) -> None:
    data, code = FATAL[name]
    server = run(data)
    assert server.is_over
    assert goodbye(server) == code


STREAM_ERRORS = {
    "data after the end": (opening() + frame(DATA, END_STREAM, 1) + frame(DATA, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
    "fields after the end": (
        opening(path=STREAM) + frame(DATA, END_STREAM, 1, prefixed(b"m")) + frame(HEADERS, WHOLE, 1),
        ErrorCode.STREAM_CLOSED,
    ),
    "trailers that do not end": (opening() + frame(HEADERS, END_HEADERS, 1), ErrorCode.PROTOCOL_ERROR),
    "a stream that depends on itself": (
        frame(HEADERS, WHOLE | HAS_PRIORITY, 1, SELF_DEPENDENT + fields()),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "a priority of another size": (opening() + frame(PRIORITY, 0, 1, b"a"), ErrorCode.FRAME_SIZE_ERROR),
    "a window update of nothing": (opening() + frames.window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    "a window over the maximum": (opening() + frames.window_update(1, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_a_stream_that_breaks_the_protocol_is_reset_alone(name: str) -> None:
    data, code = STREAM_ERRORS[name]
    server = run(data, opening(9), frame(DATA, END_STREAM, 9, prefixed(b"next")))
    out = sent(server)
    assert not server.is_over
    assert (RST_STREAM, 1, int(code).to_bytes(4, "big")) in out


MALFORMED: dict[str, list[tuple[str, str]]] = {
    "upper case": [*request_fields(), ("X-Name", "a")],
    "a field of one connection": [*request_fields(), ("connection", "close")],
    "two paths": [*request_fields()[:3], (":path", "/"), *request_fields()[3:]],
    "no path": [field for field in request_fields() if field[0] != ":path"],
    "an unknown pseudo field": [(":other", "x"), *request_fields()],
    "a pseudo field after others": [*request_fields()[1:], request_fields()[0]],
    "a line break in a value": [*request_fields(), ("x", "a\r\nb")],
    "a blank in a name": [*request_fields(), ("x y", "a")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_fields_reset_the_stream(name: str) -> None:
    server = run(frame(HEADERS, WHOLE, 1, oracle.Encoder().encode(MALFORMED[name])))
    assert (RST_STREAM, 1, int(ErrorCode.PROTOCOL_ERROR).to_bytes(4, "big")) in sent(server)


def test_fields_may_come_in_pieces() -> None:
    block = fields()
    data = frame(HEADERS, END_STREAM, 1, block[:10]) + frame(CONTINUATION, 0, 1, block[10:20])
    server = run(data + frame(CONTINUATION, END_HEADERS, 1, block[20:]))
    assert not server.is_over


def test_padding_and_priority_are_not_part_of_a_call() -> None:
    wire = GrpcWire()
    head = b"\x03" + b"\0\0\0\0\x10" + fields() + bytes(3)
    body = b"\x04" + prefixed(b"message") + bytes(4)
    wire.feed(GREETING + frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 3, head))
    wire.feed(frame(DATA, PADDED | END_STREAM, 3, body))
    assert [event.message for event in wire.events] == [b"message"]


# Limits of the cost of a peer


CHEAP = {
    "pings": frame(PING, 0, 0, bytes(8)),
    "acknowledged pings": frame(PING, ACK, 0, bytes(8)),
    "settings": frame(SETTINGS, 0, 0),
    "priorities": frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    "window updates": frames.window_update(0, 1),
    "unknown frames": frame(99, 0, 0),
    "empty data": frame(DATA, 0, 1),
    "data of a byte": frame(DATA, 0, 1, b"\0"),
}


@pytest.mark.parametrize("name", CHEAP)
def test_frames_without_a_call_are_limited(name: str) -> None:
    server = run(opening(path=STREAM), CHEAP[name] * 1_200)
    assert goodbye(server) == ErrorCode.ENHANCE_YOUR_CALM


def test_an_honest_number_of_window_updates_is_served() -> None:
    wire = GrpcWire()
    for number in range(2_000):
        wire.call(b"message %d" % number)
        wire.client.increment_flow_control_window(1)
        wire.client.increment_flow_control_window(2)
        wire.run()
    assert wire.ended is None
    assert len(wire.events) == 2_000


@pytest.mark.parametrize("is_answered", [False, True])
def test_resets_are_limited(is_answered: bool) -> None:
    server = connection()
    server.push(GREETING)
    for number in range(1, 4_000, 2):
        server.push(
            opening(number) + frame(DATA, END_STREAM, number, prefixed(b"m")) + frame(RST_STREAM, 0, number, bytes(4))
        )
        while server.has_input:
            for event in server.take(16, 1 << 20, 0.0):
                if is_answered and event.kind is EventKind.CALL:
                    event.call.reply(b"")
    assert goodbye(server) == ErrorCode.ENHANCE_YOUR_CALM


PROVOKED = {
    "a window update of nothing": lambda number: frames.window_update(number, 0),
    "a window that is too large": lambda number: frames.window_update(number, 2**31 - 1),
    "fields after the end": lambda number: frame(HEADERS, END_HEADERS, number),
    "data after the end": lambda number: frame(DATA, 0, number, bytes(100)),
    "a priority of another size": lambda number: frame(PRIORITY, 0, number, b"a"),
}


@pytest.mark.parametrize("name", PROVOKED)
def test_resets_that_a_peer_provokes_are_limited(name: str) -> None:
    """Each call is delivered and open when the peer breaks its stream."""
    server = connection()
    server.push(GREETING)
    for number in range(1, 4_000, 2):
        call = opening(number) + frame(DATA, END_STREAM, number, prefixed(b"m"))
        server.push(call + PROVOKED[name](number))
        while server.has_input:
            server.take(16, 1 << 20, 0.0)
    assert goodbye(server) == ErrorCode.ENHANCE_YOUR_CALM


def waiting_answers(count: int) -> GrpcConnection:
    """Return a connection with answers that wait for the windows of their streams."""
    server = connection()
    server.push(GREETING + frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0"))
    server.take(1, 1 << 20, 0.0)
    for number in range(1, 2 * count, 2):
        server.push(opening(number) + frame(DATA, END_STREAM, number, prefixed(b"m")))
        while server.has_input:
            for event in server.take(16, 1 << 20, 0.0):
                event.call.reply(bytes(100))
    assert server.unsent == count * 105
    return server


def seconds_of_updates(server: GrpcConnection) -> float:
    server.push(frames.window_update(0, 1) * 500)
    begun = time.process_time()
    server.take(500, 1 << 20, 50.0)
    return time.process_time() - begun


def test_window_updates_cost_the_same_with_many_answers_that_wait() -> None:
    """An update of the connection must not look at each stream that waits for a window of its own."""
    usual = min(seconds_of_updates(waiting_answers(1)) for _ in range(5))
    assert min(seconds_of_updates(waiting_answers(1_000)) for _ in range(3)) < 10 * usual


def test_answers_that_wait_for_both_windows_are_sent() -> None:
    server = waiting_answers(1_000)
    server.push(b"".join(frames.window_update(number, 200) for number in range(1, 2_001, 2)))
    server.take(1_000, 1 << 20, 100.0)
    assert 0 < server.unsent < 105_000
    server.push(frames.window_update(0, 1 << 20))
    server.take(1_000, 1 << 20, 200.0)
    assert server.unsent == 0
    statuses = [payload for kind, _, payload in sent(server) if kind == HEADERS and b"grpc-status" in payload]
    assert len(statuses) == 1_000


def test_open_streams_are_limited() -> None:
    server = run(*(opening(number) for number in range(1, 2 * 1_100, 2)))
    out = sent(server)
    assert not server.is_over
    refused = [stream for kind, stream, payload in out if kind == RST_STREAM and payload[3] == ErrorCode.REFUSED_STREAM]
    assert len(refused) == 1_100 - 1_024


@pytest.mark.parametrize("piece", [0, 16_384])
def test_fields_without_end_are_limited(piece: int) -> None:
    server = run(frame(HEADERS, 0, 1, fields()), frame(CONTINUATION, 0, 1, bytes(piece)) * 20)
    assert goodbye(server) == ErrorCode.ENHANCE_YOUR_CALM
    assert server.held == 0


def test_fields_that_grow_when_decoded_are_limited() -> None:
    first = oracle.Encoder().encode([*request_fields(), ("x", "y" * 4_000)])
    server = run(frame(HEADERS, WHOLE, 1, first + b"\xbe" * 1_000))
    assert goodbye(server) == ErrorCode.ENHANCE_YOUR_CALM


def test_a_message_over_the_limit_is_refused_by_its_length() -> None:
    wire = GrpcWire()
    stream = wire.client.get_next_available_stream_id()
    wire.client.send_headers(stream, request_fields())
    wire.client.send_data(stream, b"\0" + (MAX_MESSAGE + 1).to_bytes(4, "big") + b"begin")
    wire.run()
    assert wire.status(stream) == "8"
    assert (wire.events, wire.server.held) == ([], 0)


def test_half_messages_are_counted() -> None:
    server = run(*(opening(number) + frame(DATA, 0, number, prefixed(bytes(9_000))[:8_000]) for number in (1, 3, 5)))
    call = server.held // 3
    assert 3 * call == server.held
    assert 8_000 + OPEN_CALL < call < 8_000 + OPEN_CALL + 200
    server.push(frame(RST_STREAM, 0, 3, bytes(4)))
    server.take(1, 1 << 20, 0.0)
    assert server.held == 2 * call


def test_more_data_than_the_window_ends_the_stream() -> None:
    server = run(opening(), *(frame(DATA, 0, 1, bytes([0, 0, 80, 0, 0]) + bytes(16_000)) for _ in range(200)))
    assert not server.is_over or goodbye(server) == ErrorCode.FLOW_CONTROL_ERROR


# gRPC


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\1\0\0\0\1x", "12"),
        (prefixed(b"a") + prefixed(b"b"), "13"),
        (prefixed(b"abc")[:-1], "13"),
        (b"", "13"),
        (b"\0\0", "13"),
    ],
)
def test_a_call_without_its_one_message_has_a_status(data: bytes, status: str) -> None:
    wire = GrpcWire()
    stream = wire.client.get_next_available_stream_id()
    wire.client.send_headers(stream, request_fields())
    wire.client.send_data(stream, data, end_stream=True)
    wire.run()
    assert wire.status(stream) == status
    assert wire.events == []


def test_an_unknown_method_has_a_status() -> None:
    wire = GrpcWire()
    stream = wire.call(b"m", "/test.Service/None")
    wire.run()
    assert (wire.status(stream), wire.trailers[stream]["grpc-message"]) == (
        "12",
        "there is no method /test.Service/None",
    )


@pytest.mark.parametrize(
    ("content_type", "status"), [("text/html", "415"), ("", "415"), ("application/grpc+proto", "200")]
)
def test_a_request_that_is_not_grpc_is_answered_with_a_status_of_http(content_type: str, status: str) -> None:
    wire = GrpcWire()
    wire.call(b"m", content_type=content_type)
    wire.run()
    assert wire.heads[1][":status"] == status


@pytest.mark.parametrize(
    ("text", "seconds"), [("1H", 3600.0), ("100m", 0.1), ("31535999M", 86_400.0), ("99999999H", 86_400.0), ("5S", 5.0)]
)
def test_timeouts_are_read_and_bounded(text: str, seconds: float) -> None:
    wire = GrpcWire()
    wire.call(b"m", grpc_timeout=text)
    wire.run()
    assert wire.events[0].call.timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["1", "H", "123456789S", "-1S", "1s"])
def test_a_malformed_timeout_has_a_status(text: str) -> None:
    wire = GrpcWire()
    stream = wire.call(b"m", grpc_timeout=text)
    wire.run()
    assert wire.status(stream) == "13"


def test_of_a_repeated_field_the_last_one_counts() -> None:
    wire = GrpcWire()
    wire.client.send_headers(1, [*request_fields(), ("authorization", "first"), ("authorization", "last")])
    wire.client.send_data(1, prefixed(b"m"), end_stream=True)
    wire.run()
    assert wire.events[0].call.field("authorization") == "last"
    assert wire.events[0].call.field("x-missing") == ""


def test_a_cancelled_call_has_one_event_and_no_answer() -> None:
    wire = GrpcWire(serve=lambda _: None)
    stream = wire.call(b"m")
    wire.run()
    wire.client.reset_stream(stream, ErrorCode.CANCEL)
    wire.run()
    call = wire.events[0].call
    assert [event.kind for event in wire.events] == [EventKind.CALL, EventKind.CANCELLED]
    assert not call.is_open
    call.reply(b"late")
    assert wire.server.take_output() == b""


def test_a_server_that_leaves_answers_open_calls_and_refuses_new_ones() -> None:
    wire = GrpcWire(serve=lambda _: None)
    stream = wire.call(b"m")
    wire.run()
    wire.server.leave()
    wire.server.leave()
    late = frame(HEADERS, END_HEADERS | END_STREAM, 3, fields())
    wire.feed(late)
    wire.events[0].call.reply(b"answer")
    out = sent(wire.server)
    assert [kind for kind, _, _ in out] == [GOAWAY, RST_STREAM, HEADERS, DATA, HEADERS]
    assert out[1][2][3] == ErrorCode.REFUSED_STREAM
    assert stream == 1


def test_an_end_drops_all_calls() -> None:
    wire = GrpcWire(serve=lambda _: None)
    wire.call(b"m")
    wire.run()
    wire.server.end(ErrorCode.NO_ERROR, "bye")
    assert wire.server.take(1, 1 << 20, 0.0)[0].kind is EventKind.CANCELLED
    wire.server.push(b"more")
    assert not wire.server.has_input


def test_reasons_are_escaped() -> None:
    wire = GrpcWire(serve=lambda event: event.call.fail(13, "broken: 100 %\n\u00e9"))  # type: ignore[arg-type]
    stream = wire.call(b"m")
    wire.run()
    assert wire.trailers[stream]["grpc-message"] == "broken: 100 %25%0A%C3%A9"
