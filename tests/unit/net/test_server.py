"""A listener with real sockets: what it serves, whom it drops, and that others notice nothing."""

import asyncio
import contextlib
import logging
import socket
import struct
import time

import pytest

from mqguard.model.peer import Channel, Peer
from mqguard.net import link, scheduler
from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.scheduler import Account, Lane
from mqguard.net.server import RemotingServer
from mqguard.net.settings import NetSettings, TlsMode, TlsSettings
from mqguard.net.tls import client_context
from mqguard.remoting.command import Command
from mqguard.remoting.frame import encode_reply, encode_request
from mqguard.remoting.link import Link
from tests.fixtures.waiting import eventually
from tests.unit.net.serving import BIG, BIG_BODY, CLOSE, FAIL, LATE, ONEWAY, Client, Echo, asking, proxy_v2, serving

PLAIN = TlsSettings(mode=TlsMode.DISABLED)


def settings(**changes: object) -> NetSettings:
    return NetSettings(**({"tls": PLAIN} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("with_uvloop", [True, False], ids=["uvloop", "asyncio"])
def test_commands_are_answered(with_uvloop: bool) -> None:
    with serving(Echo(), settings(), with_uvloop=with_uvloop) as running, running.connect() as client:
        answer = client.call(5, body=b"x" * 1000)
        assert (answer.opaque, answer.is_response, answer.body) == (5, True, b"x" * 1000)
        assert answer.ext == {"ip": "127.0.0.1", "tls": "False"}


@pytest.mark.parametrize("with_uvloop", [True, False], ids=["uvloop", "asyncio"])
def test_ten_thousand_pipelined_frames_are_answered_in_order(with_uvloop: bool) -> None:
    app = Echo()
    with serving(app, settings(), with_uvloop=with_uvloop) as running, running.connect() as client:
        client.send(b"".join(asking(n) for n in range(10_000)))
        assert [answer.opaque for answer in client.read(10_000)] == list(range(10_000))
        assert 2 <= app.iterations <= 1_000


@pytest.mark.parametrize("with_uvloop", [True, False], ids=["uvloop", "asyncio"])
def test_pipelined_frames_do_not_starve_others(with_uvloop: bool) -> None:
    class Slow(Echo):
        def commands(self, link: Link, commands: list[Command]) -> None:
            time.sleep(0.0005 * len(commands))
            super().commands(link, commands)

    app = Slow()
    with serving(app, settings(frames_per_iteration=64), with_uvloop=with_uvloop) as running, running.connect() as busy:
        busy.send(b"".join(asking(n) for n in range(2_000)))
        assert eventually(lambda: len(app.served) > 1)
        with running.connect() as other:
            begun = time.monotonic()
            assert other.call(2_001)
            assert time.monotonic() - begun < 0.5
        assert len(busy.read(2_000)) == 2_000
    assert [opaque for _, opaque in app.served].index(2_001) < 1_500


def test_answers_sent_at_the_end_are_written_in_that_iteration() -> None:
    app = Echo()
    with serving(app, settings()) as running, running.connect() as client:
        client.send(b"".join(asking(n, LATE) for n in range(100)))
        assert [answer.opaque for answer in client.read(100)] == list(range(100))
        assert app.iterations <= 3


def test_an_iteration_ends_without_answers_too() -> None:
    app = Echo()
    with serving(app, settings()) as running, running.connect() as client:
        client.ask(1, ONEWAY)
        assert eventually(lambda: app.iterations == 1)


def test_an_iteration_can_be_requested_by_the_clock() -> None:
    app = Echo()
    with serving(app, settings()) as running:
        running.loop.call_soon_threadsafe(running.server.end_iteration_soon)
        running.loop.call_soon_threadsafe(running.server.end_iteration_soon)
        assert eventually(lambda: app.iterations == 1)


JUNK = {
    "two gigabytes": struct.pack(">i", 2**31 - 1),
    "negative length": struct.pack(">i", -1),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "header longer than the frame": struct.pack(">II", 12, 500) + b"{}{}{}{}",
    "no json": struct.pack(">II", 12, 8) + b"hello!!!",
    "null code": struct.pack(">II", 17, 13) + b'{"code":null}',
    "field that is a list": struct.pack(">II", 38, 34) + b'{"code":1,"extFields":{"a":[1,2]}}',
    "unknown form": struct.pack(">II", 6, 9 << 24 | 2) + b"{}",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_ends_its_connection_only(junk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), settings()) as running, running.connect() as good:
        assert good.call(1)
        with running.connect() as bad:
            bad.send(asking(8) + junk)
            assert bad.is_dropped()
            assert [answer.opaque for answer in bad.answers] == [8]
        assert good.call(2).opaque == 2
    assert "dropped: the frame's" in caplog.text or "dropped: the ext field" in caplog.text or "form" in caplog.text


def test_a_request_over_its_limit_is_answered_and_its_connection_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), settings(max_message=100_000)) as running, running.connect() as client:
        client.send(asking(1) + asking(2, LATE, bytes(5_000)) + asking(3, body=bytes(2_000_000)) + asking(4))
        answers = client.read(4)
        assert [answer.opaque for answer in answers if answer.code == 0] == [1, 4]
        remarks = {answer.opaque: (answer.code, answer.remark) for answer in answers if answer.code}
        assert remarks == {
            2: (29, "the body of request 5 has 5000 bytes, more than the limit of 4096 bytes"),
            3: (13, "the body of request 310 has 2000000 bytes, more than the limit of 165536 bytes"),
        }
    assert "refused: the body of request 5" in caplog.text


@pytest.mark.parametrize("authentication", [True, False])
def test_more_is_taken_from_a_connection_that_has_authenticated(authentication: bool) -> None:
    with serving(Open(), settings(authentication=authentication)) as running, running.connect() as client:
        assert client.call(1, 34, bytes(200_000)).code == (29 if authentication else 0)
        client.send(encode_request(Command(310, 2, ext={"user": "alice"})))
        assert client.read()
        assert client.call(3, 34, bytes(200_000)).code == 0
        assert client.call(4, 34, bytes(300_000)).code == 29


def send_on(client: Client) -> None:
    for _ in range(500):
        client.send(bytes(1000))
        time.sleep(0.01)


def test_a_peer_that_sends_after_the_end_is_dropped() -> None:
    app = Echo()
    with serving(app, settings(handshake_seconds=0.4)) as running, running.connect() as bad:
        bad.send(asking(8) + JUNK["http"])
        assert bad.read()[0].opaque == 8
        assert eventually(lambda: len(app.gone) == 1)
        begun = time.monotonic()
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            send_on(bad)
        assert 0.2 < time.monotonic() - begun < 3


def test_answers_are_not_lost_when_more_was_sent_than_is_read() -> None:
    """If a server closes with unread bytes, the system resets the connection and answers are lost."""
    with serving(Echo(), settings()) as running, running.connect() as client:
        client.send(b"".join(asking(n, BIG) for n in range(50)) + asking(50, CLOSE) + bytes(3_000_000))
        time.sleep(0.2)
        assert client.is_dropped()
        assert [answer.opaque for answer in client.answers] == list(range(50))


def test_an_error_of_the_application_ends_only_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    app = Echo()
    with serving(app, settings()) as running, running.connect() as good, running.connect() as bad:
        assert good.call(1)
        bad.ask(3, FAIL)
        assert bad.is_dropped()
        assert good.call(2).opaque == 2
    assert len(app.gone) == 2
    assert "serving 127.0.0.1" in caplog.text
    assert "this one was asked for" in caplog.text


@pytest.mark.parametrize("method", ["connected", "closed", "end_of_iteration"])
def test_errors_of_other_callbacks_end_nothing_else(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Faulty(Echo):
        fails = False

    def fail(self: Faulty, *_: object) -> None:
        if self.fails:
            self.open.clear()
            raise ValueError("a fault")
        original(self, *_)

    original = getattr(Echo, method)
    monkeypatch.setattr(Faulty, method, fail)
    app = Faulty()
    with serving(app, settings()) as running, running.connect() as client:
        app.fails = True
        client.ask(1)
        if method == "connected":
            assert client.is_dropped()
        else:
            assert client.read()[0].opaque == 1
        client.close()
        eventually(lambda: not running.server.links)
        app.fails = False
        with running.connect() as next_one:
            assert next_one.call(2).opaque == 2


def test_the_application_can_close() -> None:
    with serving(Echo(), settings()) as running, running.connect() as client:
        client.send(asking(1) + asking(2, CLOSE) + asking(3))
        assert client.is_dropped()
        assert [answer.opaque for answer in client.answers] == [1]


def test_sending_and_closing_after_the_end_have_no_effect() -> None:
    app = Echo()
    with serving(app, settings()) as running, running.connect() as client:
        assert client.call(1)
        (link,) = app.open.values()
        for action in (link.close, link.close):
            running.loop.call_soon_threadsafe(action, "enough")
        running.loop.call_soon_threadsafe(link.send, asking(9))
        assert client.is_dropped()
        assert client.answers == []
        assert link.closed
        assert eventually(lambda: len(app.gone) == 1)


def test_frames_that_arrive_during_a_backlog_wait_behind_it() -> None:
    """Bytes that were read before reading was paused arrive while a backlog is served."""
    app = Echo()
    with serving(app, NetSettings(frames_per_iteration=4)) as running:
        client = running.connect(tls=client_context())
        for start in range(0, 2_000, 100):
            client.send(b"".join(asking(n, body=bytes(500)) for n in range(start, start + 100)))
        assert [answer.opaque for answer in client.read(2_000)] == list(range(2_000))


def test_requests_before_the_end_are_answered() -> None:
    with serving(Echo(), settings()) as running, running.connect() as client:
        client.send(b"".join(asking(n) for n in range(3_000)))
        client.socket.shutdown(1)
        assert len(client.read(3_000)) == 3_000
        assert client.is_dropped()


def test_idle_connections_are_closed() -> None:
    with serving(Echo(), settings(idle_seconds=0.3)) as running, running.connect() as silent, running.connect() as busy:
        for number in range(8):
            assert busy.call(number)
            time.sleep(0.1)
        assert silent.is_dropped(0.1)
        assert busy.call(99).opaque == 99


@pytest.mark.parametrize("beginning", [asking(1)[:-1], b"\x00\x00", b"PROXY TCP4 1.2"])
def test_half_a_frame_is_not_waited_for(beginning: bytes) -> None:
    changes = {"frame_seconds": 0.3, "handshake_seconds": 0.3, "proxy_protocol_peers": ("127.0.0.0/8",)}
    with serving(Echo(), settings(**changes)) as running, running.connect() as client, running.connect() as good:
        client.send(beginning)
        assert client.is_dropped(3)
        assert good.call(1)


def test_a_peer_that_reads_nothing_is_dropped_and_holds_little(caplog: pytest.LogCaptureFixture) -> None:
    app = Echo()
    limits = settings(slow_reader_seconds=0.5, output_high_water=200_000, frames_per_iteration=8)
    with serving(app, limits) as running, running.connect() as good:
        with running.connect() as deaf:
            deaf.socket.settimeout(0.3)
            with pytest.raises(OSError, match="timed out"):
                deaf.send(b"".join(asking(n, BIG) for n in range(100_000)))
            held = max(link.unsent for link in running.server.links)
            assert held < 200_000 + 20 * len(BIG_BODY)
            assert good.call(1)
            assert eventually(lambda: len(running.server.links) == 1)
        assert good.call(2)
    assert "the client has not read its answers for 0.5 s" in caplog.text


def test_a_peer_that_reads_late_gets_everything() -> None:
    limits = settings(output_high_water=50_000, frames_per_iteration=8)
    with serving(Echo(), limits) as running, running.connect() as client:
        client.send(b"".join(asking(n, BIG) for n in range(200)))
        time.sleep(0.3)
        answers = client.read(200)
        assert [answer.opaque for answer in answers] == list(range(200))
        assert all(answer.body == BIG_BODY for answer in answers)


def test_notices_to_a_peer_that_does_not_read_are_bounded() -> None:
    app = Echo()
    limits = settings(output_high_water=100_000, output_limit=1_000_000)
    with serving(app, limits) as running, running.connect() as deaf:
        assert deaf.call(1)
        (link,) = app.open.values()
        for number in range(400):
            running.loop.call_soon_threadsafe(link.send, asking(number, body=BIG_BODY))
        assert eventually(lambda: link.closed)


def test_slow_frames_do_not_starve_others() -> None:
    class Slow(Echo):
        def commands(self, link: Link, commands: list[Command]) -> None:
            time.sleep(0.001 * len(commands))
            super().commands(link, commands)

    app = Slow()
    with serving(app, settings()) as running, running.connect() as good:
        assert good.call(1)
        greedy = running.connect()
        greedy.send(b"".join(asking(n) for n in range(256)))
        assert eventually(lambda: len(app.served) > 16)
        assert good.call(2)
        assert len(app.served) < 200
        assert len(greedy.read(256)) == 256


class Open(Echo):
    """Authenticates a connection as the user that a request names."""

    def commands(self, link: Link, commands: list[Command]) -> None:
        for command in commands:
            if command.ext.get("user"):
                link.peer.channel.user = command.ext["user"]
        super().commands(link, commands)


class Costly(Open):
    """Each request takes a tenth of a millisecond."""

    def commands(self, link: Link, commands: list[Command]) -> None:
        time.sleep(0.0001 * len(commands))
        super().commands(link, commands)


@pytest.mark.parametrize("user", ["", "mallory"], ids=["anonymous", "authenticated"])
@pytest.mark.parametrize("with_uvloop", [True, False], ids=["uvloop", "asyncio"])
def test_a_flood_from_many_connections_does_not_delay_others(user: str, with_uvloop: bool) -> None:
    """200 connections send 400 small requests each, which take 8 s together."""
    ext = {"user": user} if user else {}
    flood = b"".join(encode_request(Command(310, n, ext=ext)) for n in range(400))
    app = Costly()
    with serving(app, settings(), with_uvloop=with_uvloop) as running, running.connect() as victim:
        victim.send(encode_request(Command(310, 1, ext={"user": "alice"})))
        victim.read()
        attackers = [running.connect() for _ in range(200)]
        for attacker in attackers:
            attacker.send(flood)
        waits = []
        for number in range(50):
            begun = time.monotonic()
            assert victim.call(number)
            waits.append(time.monotonic() - begun)
        with running.connect() as newcomer:
            begun = time.monotonic()
            assert newcomer.call(1)
            waits.append(time.monotonic() - begun)
        assert len(app.served) < 70_000
        assert sorted(waits)[25] < 0.15
        assert max(waits) < 1


def test_a_connection_waits_once_however_often_its_peer_stops_reading() -> None:
    class Iterations(Echo):
        most = 0

        def commands(self, link: Link, commands: list[Command]) -> None:
            super().commands(link, commands)
            if len(self.served) < 100:
                for _ in range(5):
                    link.pause_writing()  # type: ignore[attr-defined]
                    link.resume_writing()  # type: ignore[attr-defined]
            self.most = max(self.most, len(link.account.waiting))  # type: ignore[attr-defined]

    app = Iterations()
    with serving(app, settings(frames_per_iteration=16)) as running, running.connect() as client:
        client.send(b"".join(asking(n) for n in range(400)))
        assert [answer.opaque for answer in client.read(400)] == list(range(400))
    assert app.most <= 1


def test_slow_readers_together_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    limits = settings(output_high_water=50_000, output_total_limit=1_000_000, frames_per_iteration=8)
    with serving(Echo(), limits) as running:
        deaf = [running.connect() for _ in range(30)]
        for client in deaf:
            client.send(b"".join(asking(n, BIG) for n in range(200)))
        assert eventually(lambda: "read slowly hold too much memory" in caplog.text)
        assert sum(link.unsent for link in list(running.server.links) if not link.closed) < 2_000_000


def test_answers_for_slow_readers_stay_bounded_while_more_are_sent(caplog: pytest.LogCaptureFixture) -> None:
    class Late(Echo):
        def end_of_iteration(self) -> None:
            for waiting, opaque in self.late:
                waiting.send(encode_reply(opaque, 0, body=bytes(200_000)))

    limits = settings(output_high_water=50_000, output_total_limit=20_000_000)
    with serving(Late(), limits) as running, running.connect() as good:
        for _ in range(8):
            running.connect().ask(1, LATE)
        assert eventually(lambda: len(running.app.late) == 8)
        for n in range(400):
            good.send(asking(n))
            assert good.read()
            unsent = sum(link.unsent for link in list(running.server.slow_readers))
            assert unsent < 25_000_000
        assert "read slowly hold too much memory" in caplog.text


def test_the_slow_reader_with_most_unread_bytes_is_dropped() -> None:
    class Reader:
        def __init__(self, unsent: int) -> None:
            self.peer = Peer("10.0.0.1", 1, Channel("c"))
            self.account = Account("some", Lane(1, 1))
            self.closed = False
            self.unsent = unsent
            self.reason = ""

        def cut(self, reason: str) -> None:
            self.reason = reason
            server.unblocked(self)  # type: ignore[arg-type]

    server = RemotingServer(Echo(), settings(output_total_limit=1_000))
    deaf, slow = Reader(950), Reader(60)
    server.blocked(deaf)  # type: ignore[arg-type]
    server.blocked(slow)  # type: ignore[arg-type]
    assert (deaf.reason, slow.reason) == ("answers for clients that read slowly hold too much memory", "")


def test_slow_readers_of_one_user_have_a_share_and_others_are_not_dropped() -> None:
    class Reader:
        closed = False

        def __init__(self, account: Account, unsent: int) -> None:
            self.peer = Peer("10.0.0.1", 1, Channel())
            self.account = account
            self.unsent = unsent

        def cut(self, _reason: str) -> None:
            self.closed = True
            server.unblocked(self)  # type: ignore[arg-type]

    lane = Lane(1, 1)
    one, other = Account("one", lane), Account("other", lane)
    server = RemotingServer(Echo(), settings(output_total_limit=1_000))
    greedy = [Reader(one, 100) for _ in range(10)]
    modest = [Reader(other, 120), Reader(other, 120)]
    for reader in (*modest, *greedy):
        server.blocked(reader)  # type: ignore[arg-type]
    assert not any(reader.closed for reader in modest)
    assert [reader.closed for reader in greedy].count(False) == 2


def test_the_answers_of_an_iteration_are_bounded_and_all_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests with large answers wait until it is known which peers read."""
    monkeypatch.setattr(link, "MAX_ANSWERS", 1_000_000)
    monkeypatch.setattr(scheduler, "MAX_ANSWERS", 1_000_000)
    most: list[int] = []

    class Watched(Echo):
        def end_of_iteration(self) -> None:
            most.append(running.server.scheduler.queued)
            super().end_of_iteration()

    with serving(Watched(), settings()) as running:
        clients = [running.connect() for _ in range(4)]
        for client in clients:
            client.send(b"".join(asking(n, BIG) for n in range(100)))
        for client in clients:
            assert len(client.read(100)) == 100
    assert 1_000_000 < max(most) < 1_000_000 + 17 * len(BIG_BODY)


def test_incomplete_frames_together_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    limits = settings(input_limit=1_000_000, authentication=False)
    with serving(Echo(), limits) as running, running.connect() as good:
        many = [running.connect() for _ in range(20)]
        for client in many:
            client.send(asking(1, body=bytes(200_000))[:100_000])
        assert eventually(lambda: "incomplete frames of" in caplog.text)
        assert good.call(1)
        for client in many:
            client.close()
        assert eventually(lambda: len(running.server.links) == 1)
        with running.connect() as again:
            assert len(again.call(1, body=bytes(400_000)).body) == 400_000


def test_the_connection_that_holds_most_is_dropped_and_not_the_newest() -> None:
    limits = settings(input_limit=1_000_000, authentication=False, proxy_protocol_peers=("127.0.0.1",))
    with serving(Echo(), limits) as running, running.connect(first=proxy_v2("10.0.1.1", 1)) as good:
        many = [running.connect(first=proxy_v2(f"10.0.0.{n}", n)) for n in range(1, 7)]
        for client in many:
            client.send(asking(1, body=bytes(200_000))[:160_000])
        assert eventually(lambda: running.server.held > 950_000)
        frame = asking(2, body=bytes(80_000))
        good.send(frame[:60_000])
        assert eventually(lambda: len(running.server.links) == 6)
        good.send(frame[60_000:])
        assert len(good.read()[0].body) == 80_000
        assert running.server.held <= 1_000_000


def test_an_address_that_holds_most_is_dropped_even_if_its_connections_hold_little() -> None:
    limits = settings(input_limit=1_000_000, authentication=False, proxy_protocol_peers=("127.0.0.1",))
    with serving(Echo(), limits) as running:
        many = [running.connect(first=proxy_v2("10.0.0.1", n)) for n in range(1, 10)]
        for client in many:
            client.send(asking(1, body=bytes(200_000))[:50_000])
        assert eventually(lambda: running.server.held > 430_000)
        large = [running.connect(first=proxy_v2(f"10.0.0.{n}", 1)) for n in range(2, 4)]
        frame = asking(2, body=bytes(300_000))
        for client in large:
            client.send(frame[:290_000])
        assert eventually(lambda: len(running.server.links) < 11)
        for client in large:
            client.send(frame[290_000:])
            assert len(client.read()[0].body) == 300_000


def test_anonymous_connections_hold_a_small_part_of_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    limits = settings(input_limit=4_000_000, proxy_protocol_peers=("127.0.0.1",))
    with serving(Open(), limits) as running, running.connect(first=proxy_v2("10.1.0.1", 1)) as good:
        good.send(encode_request(Command(310, 1, ext={"user": "alice"})))
        assert good.read()
        many = [running.connect(first=proxy_v2(f"10.0.0.{n}", n)) for n in range(1, 20)]
        for client in many:
            client.send(asking(1, body=bytes(200_000))[:100_000])
        assert eventually(lambda: "incomplete frames of all anonymous connections hold" in caplog.text)
        for client in many:
            client.close()
        assert eventually(lambda: running.server.held == 0)
        same = [running.connect(first=proxy_v2("10.2.0.1", n)) for n in range(1, 20)]
        for client in same:
            client.send(asking(1, body=bytes(200_000))[:100_000])
        assert eventually(lambda: "incomplete frames of one address hold" in caplog.text)
        assert running.server.held <= 1_000_000
        assert len(good.call(2, body=bytes(1_500_000)).body) == 1_500_000


def test_a_user_holds_a_part_of_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Open(), settings(input_limit=1_000_000)) as running:
        clients = [running.connect() for _ in range(8)]
        for client in clients:
            client.send(encode_request(Command(310, 1, ext={"user": "mallory"})))
            client.read()
            client.send(asking(1, body=bytes(200_000))[:100_000])
        assert eventually(lambda: "incomplete frames of one user hold more than 500000 bytes" in caplog.text)
        assert eventually(lambda: running.server.held <= 500_000)


def test_requests_that_wait_count_as_memory() -> None:
    class Slow(Echo):
        def commands(self, link: Link, commands: list[Command]) -> None:
            time.sleep(0.05)
            super().commands(link, commands)

    with serving(Slow(), settings()) as running, running.connect() as client:
        client.send(b"".join(asking(n, body=bytes(1_000)) for n in range(100)))
        assert eventually(lambda: running.server.held > 20_000)
        assert len(client.read(100)) == 100
        assert running.server.held == 0


def test_connections_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), settings(max_connections=2, authentication=False)) as running:
        with running.connect() as first, running.connect() as second, running.connect() as third:
            assert first.call(1)
            assert second.call(1)
            assert third.is_dropped()
        assert eventually(lambda: not running.server.links)
        with running.connect() as next_one:
            assert next_one.call(1)
    assert "dropped: 2 connections are open" in caplog.text


def test_connections_of_an_address_are_counted_by_the_clients_own(caplog: pytest.LogCaptureFixture) -> None:
    limits = settings(max_connections_per_address=1, authentication=False, proxy_protocol_peers=("127.0.0.1",))
    with serving(Echo(), limits) as running:
        with (
            running.connect(first=proxy_v2("10.0.0.1", 5)) as one,
            running.connect(first=proxy_v2("10.0.0.2", 5)) as two,
        ):
            assert one.call(1).ext["ip"] == "10.0.0.1"
            assert two.call(1).ext["ip"] == "10.0.0.2"
            with running.connect(first=proxy_v2("10.0.0.1", 6)) as three:
                assert three.is_dropped()
            assert one.call(2)
        assert eventually(lambda: not running.server.links)
        with running.connect(first=proxy_v2("10.0.0.1", 7)) as again:
            assert again.call(1)
    assert "1 connections from 10.0.0.1 are open" in caplog.text


def test_idle_connections_do_not_exclude_others(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Open(), settings(max_connections=4)) as running, running.connect() as user:
        user.send(encode_request(Command(310, 1, ext={"user": "alice"})))
        assert user.read()
        silent = [running.connect() for _ in range(8)]
        assert eventually(lambda: len(running.server.links) == 4)
        assert user.call(2)
        others = [running.connect() for _ in range(3)]
        for other in others:
            other.send(encode_request(Command(310, 1, ext={"user": "bob"})))
            assert other.read()
        assert all(client.is_dropped() for client in silent)
        with running.connect() as late:
            assert late.is_dropped()
        assert user.call(3)
        assert [other.call(4).opaque for other in others] == [4, 4, 4]
    assert "too many connections are open, and this one had not authenticated" in caplog.text
    assert "4 connections are open" in caplog.text


def test_a_connection_that_sends_nothing_is_closed_soon() -> None:
    with serving(Echo(), settings(silent_seconds=0.3)) as running, running.connect() as idle:
        assert idle.call(1)
        with running.connect() as silent:
            assert silent.is_dropped(3)
        time.sleep(0.5)
        assert idle.call(2)


@pytest.mark.parametrize("user", ["", "alice"], ids=["anonymous", "authenticated"])
def test_a_frame_that_stops_arriving_ends_its_connection(user: str, caplog: pytest.LogCaptureFixture) -> None:
    times = {"anonymous_stall_seconds": 0.3, "stall_seconds": 1.2}
    with serving(Open(), settings(**times)) as running, running.connect() as client:
        client.send(encode_request(Command(310, 1, ext={"user": user})))
        assert client.read()
        begun = time.monotonic()
        client.send(asking(2, body=bytes(1_000))[:500])
        assert client.is_dropped(5)
        assert (time.monotonic() - begun > 1.1) == bool(user)
    assert f"nothing more of a frame or a handshake arrived for {'1.2' if user else '0.3'} s" in caplog.text


def test_a_frame_that_arrives_too_slowly_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    limits = settings(min_rate=1_000, rate_grace_seconds=0.3, stall_seconds=1, anonymous_stall_seconds=1)
    with serving(Echo(), limits) as running, running.connect() as slow, running.connect() as steady:
        frame = asking(1, body=bytes(20_000))
        slow.send(frame[:200])
        steady.send(frame[:200])
        for at in range(200, 18_200, 600):
            with contextlib.suppress(OSError):
                slow.send(b"x")
            steady.send(frame[at : at + 600])
            time.sleep(0.05)
        assert slow.is_dropped(5)
        steady.send(frame[18_200:])
        assert steady.read()
    assert "a frame arrives with less than 1000 bytes a second" in caplog.text


def test_a_thousand_idle_connections_cost_little() -> None:
    with serving(Echo(), settings()) as running:
        begun = time.monotonic()
        idle = [running.connect() for _ in range(1_000)]
        with running.connect() as client:
            assert client.call(1)
        assert time.monotonic() - begun < 5
        for one in idle:
            one.close()
        assert eventually(lambda: not running.server.links)


def test_a_stop_answers_the_requests_that_were_accepted() -> None:
    app = Echo()
    with serving(app, settings()) as running:
        silent, client = running.connect(), running.connect()
        assert silent.call(1)
        client.send(b"".join(asking(n) for n in range(2_000)))
        assert eventually(lambda: len(app.served) > 100)
        running.stop()
        assert silent.is_dropped()
        assert client.is_dropped()
        answered = [answer.opaque for answer in client.answers]
        assert answered == list(range(len(answered)))
        assert len(answered) == len(app.served) - 1
        with pytest.raises(OSError, match=r"refused|reset|closed"):
            running.connect().call(1)


def test_ipv6() -> None:
    with serving(Echo(), settings(), host="::1") as running, running.connect("::1") as client:
        assert client.call(1).ext["ip"] == "::1"


def test_all_addresses_of_a_name_have_one_port(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), settings(), host="localhost") as running, running.connect() as client:
        assert client.call(1)
        hosts = {found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        if "::1" in hosts and "not listening" not in caplog.text:
            with running.connect("::1") as other:
                assert other.call(2).ext["ip"] == "::1"


def test_an_address_that_is_taken_is_an_error() -> None:
    async def start_again(port: int) -> None:
        await RemotingServer(Echo(), settings()).start("127.0.0.1", port)

    with serving(Echo(), settings()) as running, pytest.raises(OSError, match="in use"):
        asyncio.run(start_again(running.port))


def test_a_second_port_serves_the_same_and_closes_with_the_first() -> None:
    async def serve_twice() -> tuple[list[bytes], list[bool]]:
        loop, server = asyncio.get_running_loop(), RemotingServer(Echo(), settings())
        port = await server.start("127.0.0.1", 0, second=-2)
        answers = [await loop.run_in_executor(None, _first_bytes, number) for number in (port, port - 2)]
        await server.stop(grace=5)
        return answers, [_refuses(number) for number in (port, port - 2)]

    answers, refused = asyncio.run(serve_twice())
    assert all(answers)
    assert refused == [True, True]


def _first_bytes(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(encode_request(Command(5)))
        return client.recv(8)


def _refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_a_second_port_that_is_taken_frees_the_first() -> None:
    async def start_beside(taken: int) -> None:
        await RemotingServer(Echo(), settings()).start("127.0.0.1", taken + 2, second=-2)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            asyncio.run(start_beside(port))
        socket.create_server(("127.0.0.1", port + 2)).close()


def test_a_server_that_was_never_started_stops() -> None:
    server = RemotingServer(Echo(), settings())
    server.end_iteration_soon()
    asyncio.run(server.stop())


def test_peers_have_names_of_their_own() -> None:
    app = Echo()
    with serving(app, settings()) as running, running.connect() as one, running.connect() as two:
        assert one.call(1)
        assert two.call(1)
        assert len({link.peer.channel for link in app.open.values()}) == 2
        ports = {client.socket.getsockname()[1] for client in (one, two)}
        assert {link.peer.port for link in app.open.values()} == ports


@pytest.mark.parametrize("max_frame", [3, 300_000_000])
def test_a_frame_limit_that_hides_tls_is_refused(max_frame: int) -> None:
    with pytest.raises(NetSettingsInvalid, match="is not between 4 and"):
        RemotingServer(Echo(), settings(max_frame=max_frame))


def test_dropped_connections_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), settings()) as running:
        for _ in range(150):
            with running.connect() as client:
                client.send(b"\xff\xff\xff\xff")
                assert client.is_dropped()
    lines = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 100


def test_a_client_is_reused(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged about connections that open and close normally."""
    caplog.set_level(logging.INFO)
    with serving(Echo(), settings()) as running:
        for number in range(3):
            client: Client
            with running.connect() as client:
                assert client.call(number)
    assert [record for record in caplog.records if record.name.startswith("mqguard")] == []
