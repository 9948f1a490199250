"""Calls arrive whole and once, however their bytes are split, and any bytes end in calls or one error."""

import contextlib

import h2.exceptions
from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.rpc.calls import EventKind
from tests.fixtures.grpc_client import STREAM, UNARY, GrpcWire, connection, prefixed, request_fields

MESSAGES = st.binary(max_size=200) | st.builds(
    lambda size, byte: bytes([byte]) * size, st.integers(0, 70_000), st.integers(0, 255)
)
PIECES = st.none() | st.lists(st.integers(1, 3000), min_size=1, max_size=5)


@settings(max_examples=30)
@given(st.lists(MESSAGES, max_size=6), PIECES)
def test_every_call_is_answered_with_its_message(messages: list[bytes], pieces: list[int] | None) -> None:
    wire = GrpcWire(pieces=pieces)
    streams = [wire.call(message) for message in messages]
    wire.run()
    assert [wire.answers[stream] for stream in streams] == [prefixed(message) for message in messages]
    assert all(wire.status(stream) == "0" for stream in streams)
    assert [(event.kind, event.message) for event in wire.events] == [(EventKind.CALL, m) for m in messages]
    assert (wire.server.held, wire.server.unsent) == (0, 0)


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 400), min_size=1, max_size=6), PIECES)
def test_messages_of_a_stream_are_independent_of_its_frames(
    messages: list[bytes], frames: list[int], pieces: list[int] | None
) -> None:
    wire = GrpcWire(pieces=pieces)
    stream = wire.client.get_next_available_stream_id()
    wire.client.send_headers(stream, request_fields(STREAM))
    data, turn = b"".join(map(prefixed, messages)), 0
    while data:
        size = frames[turn % len(frames)]
        wire.send(stream, data[:size], is_end=False)
        data, turn = data[size:], turn + 1
    wire.client.end_stream(stream)
    wire.run()
    assert [event.message for event in wire.events if event.kind is EventKind.MESSAGE] == messages
    assert wire.answers.get(stream, b"") == b"".join(map(prefixed, messages))
    assert wire.status(stream) == "0"
    assert wire.server.held == 0


@settings(max_examples=30)
@given(st.integers(0, 200_000), st.integers(0, 100), st.lists(st.integers(0, 30_000), max_size=20))
def test_an_answer_is_sent_within_the_windows_of_the_peer(size: int, window: int, steps: list[int]) -> None:
    """The client itself raises an error if the server exceeds a window."""
    wire = GrpcWire(serve=lambda event: event.call.reply(b"x" * size))
    wire.acknowledges = False
    wire.client.update_settings({4: window})
    stream = wire.client.get_next_available_stream_id()
    wire.client.send_headers(stream, request_fields(UNARY))
    wire.client.send_data(stream, prefixed(b""), end_stream=True)
    wire.run()
    for step in [*steps, 1_000_000]:
        if stream in wire.trailers and "grpc-status" in wire.trailers[stream]:
            break
        if step:
            with contextlib.suppress(h2.exceptions.StreamClosedError):
                wire.client.increment_flow_control_window(step, stream)
            wire.client.increment_flow_control_window(step)
        wire.run()
    assert wire.answers.get(stream, b"") == prefixed(b"x" * size)
    assert wire.status(stream) == "0"
    assert wire.server.unsent == 0


def _dialogue() -> bytes:
    wire = GrpcWire()
    sent = []
    feed = wire.feed
    wire.feed = lambda data: (sent.append(data), feed(data))[1]  # type: ignore[method-assign]
    for number in range(4):
        wire.call(b"m" * number * 50, STREAM if number % 2 else UNARY, x_mq_client_id=f"client-{number}")
        wire.run()
    wire.client.ping(b"12345678")
    wire.run()
    return b"".join(sent)


DIALOGUE = _dialogue()


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, len(DIALOGUE) - 1), st.binary(max_size=4), st.integers(0, 4)), max_size=4),
    st.lists(st.integers(1, 200), min_size=1, max_size=4),
)
def test_damaged_bytes_end_in_calls_or_one_error(damages: list[tuple[int, bytes, int]], pieces: list[int]) -> None:
    data = DIALOGUE
    for place, put, removed in damages:
        data = data[:place] + put + data[place + removed :]
    ends = []
    for sizes in ([len(data) or 1], pieces):
        server, outcome, out, at, turn = connection(), [], b"", 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            server.push(data[at : at + size])
            at, turn = at + size, turn + 1
            while server.has_input:
                outcome += [(event.kind, event.call.stream, event.message) for event in server.take(3, 1 << 20, 0.0)]
                out += server.take_output()
        ends.append((outcome, out, server.is_over))
    assert ends[0] == ends[1]


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=300), max_size=5), st.booleans())
def test_any_bytes_raise_nothing(parts: list[bytes], is_greeted: bool) -> None:
    server = connection()
    for part in [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", *parts] if is_greeted else parts:
        server.push(part)
        while server.has_input:
            server.take(8, 1 << 20, 0.0)
