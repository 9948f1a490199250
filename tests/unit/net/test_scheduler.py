"""The time of an iteration is divided by what each account has used."""

import asyncio
import collections
import random
from collections.abc import Callable

import pytest

from mqguard.model.peer import Channel, Peer
from mqguard.net import scheduler as module
from mqguard.net.scheduler import ANONYMOUS_BUDGET_S, BUDGET_S, Account, Scheduler
from tests.fixtures.clock import ManualTimer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualTimer:
    found = ManualTimer()
    monkeypatch.setattr(module, "read_clock", found)
    monkeypatch.setattr(module, "read_processor_time", lambda: found.now - found.interrupted)
    return found


class Loop:
    """Runs the callbacks of `call_soon`, one iteration after the other."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.due.append(callback)

    def iterate(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


class Ends:
    """Counts the calls of `end_iteration`."""

    is_iteration_due = True

    def __init__(self) -> None:
        self.iterations = 0

    def end_iteration(self) -> None:
        self.iterations += 1


class Sender:
    """A connection with a number of requests, each of which takes some time."""

    def __init__(self, world: "SchedulerTurns", name: str, requests: int, seconds: float, account: Account) -> None:
        self.world = world
        self.name = name
        self.requests = requests
        self.seconds = seconds
        self.peer = Peer("10.0.0.1", 1, Channel(name))
        self.account = account
        self.used = 0.0
        self.was_served = self.is_waiting = self.is_paused = self.is_gone = False
        self.held = 0
        self.is_heavy = False
        self.work: list[str] = []

    def serve(self, until: float) -> bool:
        self.was_served = True
        while self.requests:
            self.requests -= 1
            self.world.clock.now += self.seconds
            self.world.served.append(self.name)
            if self.seconds < 0:
                raise ValueError("an internal error")
            if self.world.clock.now >= until:
                break
        return self.requests > 0

    def stop_reading(self) -> None:
        self.is_paused = True

    def abort(self) -> None:
        self.is_gone = True


class SchedulerTurns:
    """A scheduler with a loop and a server of its own."""

    def __init__(self, clock: ManualTimer) -> None:
        self.clock = clock
        self.loop = Loop()
        self.ends = Ends()
        self.scheduler = Scheduler()
        self.scheduler.attach(self.loop, self.ends)  # type: ignore[arg-type]
        self.served: list[str] = []

    def send(self, name: str, requests: int, seconds: float, *, user: str = "", ip: str = "10.0.0.1") -> Sender:
        account = self.scheduler.account(user or ip, is_anonymous=not user)
        sender = Sender(self, name, requests, seconds, account)
        self.scheduler.add(sender)
        return sender

    def iterate(self) -> list[str]:
        """Run one iteration; return the connections that it served."""
        self.served.clear()
        self.loop.iterate()
        return list(self.served)


@pytest.fixture
def world(clock: ManualTimer) -> SchedulerTurns:
    return SchedulerTurns(clock)


def test_everything_is_served_in_one_iteration_if_there_is_time(world: SchedulerTurns) -> None:
    for number in range(20):
        world.send(f"c{number}", 2, 0.0001, user=f"u{number % 3}")
    assert collections.Counter(world.iterate()) == {f"c{number}": 2 for number in range(20)}
    assert world.ends.iterations == 1
    assert world.loop.due == []


def test_an_iteration_starts_no_request_after_its_budget(world: SchedulerTurns) -> None:
    sender = world.send("a", 1_000, 0.001, user="alice")
    assert len(world.iterate()) == round(BUDGET_S / 0.001)
    assert sender.is_paused
    assert world.loop.due
    assert len(world.iterate()) == round(BUDGET_S / 0.001)


def test_an_idle_connection_waits_for_few_busy_ones_of_its_user(world: SchedulerTurns) -> None:
    for number in range(100):
        world.send(f"busy{number}", 100_000, 0.0005, user="shared")
    quiet = world.send("quiet", 1, 0.0001, user="shared")
    for _ in range(50):
        world.iterate()
    for _ in range(20):
        quiet.requests = 1
        world.scheduler.add(quiet)
        assert "quiet" in world.iterate() + world.iterate()


def test_users_have_equal_time_whatever_their_requests_cost_and_however_many_connections(world: SchedulerTurns) -> None:
    for number in range(50):
        world.send(f"many{number}", 1_000, 0.0005, user="many")
    world.send("heavy", 1_000, 0.008, user="heavy")
    world.send("light", 100_000, 0.0001, user="light")
    times: collections.Counter[str] = collections.Counter()
    for _ in range(300):
        for name in world.iterate():
            kind = name.rstrip("0123456789")
            times[kind] += {"many": 5, "heavy": 80, "light": 1}[kind]
    assert max(times.values()) < 1.2 * min(times.values())


def test_a_request_of_another_user_is_served_in_the_next_iteration(world: SchedulerTurns) -> None:
    for number in range(200):
        world.send(f"flood{number}", 1_000, 0.001, user="mallory")
    for _ in range(10):
        world.iterate()
        world.send("victim", 1, 0.0001, user="alice")
        assert world.iterate().index("victim") <= 1


def test_idle_time_is_not_saved_up(world: SchedulerTurns) -> None:
    world.send("early", 1, 0.001, user="alice")
    world.send("busy", 100_000, 0.001, user="bob")
    for _ in range(50):
        world.iterate()
    world.send("again", 100_000, 0.001, user="alice")
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(20):
        counts.update(world.iterate())
    assert counts["again"] <= counts["busy"] + 4


def test_connections_of_a_user_are_served_alternately(world: SchedulerTurns) -> None:
    for name in ("a", "b", "c"):
        world.send(name, 1_000, 0.001, user="alice")
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(30):
        counts.update(world.iterate())
    assert max(counts.values()) - min(counts.values()) <= 4


def test_a_connection_is_not_charged_while_the_process_does_not_run(world: SchedulerTurns) -> None:
    interrupted = [world.send(f"c{number}", 100_000, 0.0005, user="alice") for number in range(50)][7]
    world.iterate()
    serve, left = interrupted.serve, [0.05]

    def serve_after_an_interruption(until: float) -> bool:
        if left:
            world.clock.interrupt(left.pop())
        return serve(until)

    interrupted.serve = serve_after_an_interruption  # type: ignore[method-assign]
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(100):
        counts.update(world.iterate())
    assert not left
    assert min(counts.values()) > 0.5 * max(counts.values())


class SteadySender(Sender):
    """A client with one request in flight: its next one comes some iterations after the answer."""

    def __init__(self, world: SchedulerTurns, name: str, account: Account, costs: random.Random) -> None:
        super().__init__(world, name, 0, 0.0, account)
        self.costs = costs

    def serve(self, until: float) -> bool:
        self.requests = 1
        self.seconds = 0.000_04 * self.costs.uniform(0.7, 1.5)
        if self.costs.random() < 0.000_3:
            self.seconds = self.costs.uniform(0.002, 0.02)
        super().serve(until)
        self.is_waiting = False
        return False


def serve_clients(world: SchedulerTurns, seed: int) -> collections.Counter[str]:
    """Serve 600 clients of a user that connect one after the other; return their requests in 400 later iterations."""
    costs, account, iterations = random.Random(seed), world.scheduler.account("alice", is_anonymous=False), 400
    clients = {f"c{number}": SteadySender(world, f"c{number}", account, costs) for number in range(600)}
    newcomers = collections.deque(clients)
    answered: collections.deque[list[str]] = collections.deque([[], [], []])
    counts: collections.Counter[str] = collections.Counter()
    while iterations:
        for name in answered.popleft():
            world.scheduler.add(clients[name])
        for _ in range(min(2, len(newcomers))):
            world.scheduler.add(clients[newcomers.popleft()])
        served = world.iterate()
        answered.append(served)
        if not newcomers:
            iterations -= 1
            counts.update(served)
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_many_connections_of_a_user_are_served_evenly(world: SchedulerTurns, seed: int) -> None:
    """Neither newcomers nor requests that take long let a connection wait while others are served many times."""
    counts = serve_clients(world, seed)
    assert len(counts) == 600
    assert min(counts.values()) >= 0.5 * counts.total() / 600


def test_anonymous_connections_have_a_small_part_of_an_iteration(world: SchedulerTurns) -> None:
    for number in range(200):
        world.send(f"x{number}", 1_000, 0.0005, ip=f"10.0.0.{number}")
    world.send("alice", 100_000, 0.0005, user="alice")
    for _ in range(50):
        counts = collections.Counter("alice" if name == "alice" else "x" for name in world.iterate())
        assert counts["alice"] == round(BUDGET_S / 0.0005)
        assert counts["x"] <= round(ANONYMOUS_BUDGET_S / 0.0005)


def test_the_overdraft_of_anonymous_requests_is_subtracted_later(world: SchedulerTurns) -> None:
    for number in range(20):
        world.send(f"x{number}", 100, 0.02, ip=f"10.0.0.{number}")
    world.send("alice", 100_000, 0.001, user="alice")
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(100):
        counts.update("alice" if name == "alice" else "x" for name in world.iterate())
    assert counts["x"] * 0.02 <= 100 * ANONYMOUS_BUDGET_S + 0.04


def test_a_new_connection_does_not_wait_behind_the_others_of_its_address(world: SchedulerTurns) -> None:
    for number in range(200):
        world.send(f"x{number}", 1_000, 0.0005)
    for _ in range(60):
        world.iterate()
    world.send("newcomer", 1, 0.0005)
    assert "newcomer" in world.iterate()


def test_addresses_of_one_network_share_an_account(world: SchedulerTurns) -> None:
    one, other, third = (
        world.scheduler.account(ip, is_anonymous=True) for ip in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:1::1")
    )
    assert one is other
    assert one is not third


def test_a_user_and_an_address_of_the_same_name_are_different_accounts(world: SchedulerTurns) -> None:
    assert world.scheduler.account("10.0.0.1", is_anonymous=True) is not world.scheduler.account(
        "10.0.0.1", is_anonymous=False
    )


def test_accounts_that_are_not_used_are_forgotten(world: SchedulerTurns) -> None:
    kept = world.scheduler.account("10.1.1.1", is_anonymous=True)
    kept.links = 1
    for number in range(10_000):
        world.scheduler.account(f"10.0.{number >> 8}.{number & 255}", is_anonymous=True)
    lane = world.scheduler.lanes["anonymous"]
    assert len(lane.accounts) <= 4_096
    assert world.scheduler.account("10.1.1.1", is_anonymous=True) is kept


def test_an_internal_error_costs_one_connection(world: SchedulerTurns, caplog: pytest.LogCaptureFixture) -> None:
    bad = world.send("bad", 5, -0.0, user="mallory")
    bad.seconds = -0.000001
    good = world.send("good", 5, 0.0001, user="alice")
    assert world.iterate().count("good") == 5
    assert (bad.is_gone, good.is_gone) == (True, False)
    assert "serving 10.0.0.1" in caplog.text


def test_large_answers_end_an_iteration(world: SchedulerTurns) -> None:
    class Large(Sender):
        def serve(self, until: float) -> bool:
            self.world.scheduler.queued += module.MAX_ANSWERS
            return super().serve(until)

    for name in ("a", "b"):
        account = world.scheduler.account(name, is_anonymous=False)
        world.scheduler.add(Large(world, name, 1, 0.0001, account))
    assert len(world.iterate()) == 1
    assert len(world.iterate()) == 1


def test_a_large_request_has_an_iteration_of_its_own(world: SchedulerTurns) -> None:
    large = [world.send(f"large{number}", 1, 0.03, user="mallory") for number in range(5)]
    for one in large:
        one.held, one.is_heavy = 1_000_000, True
    iterations = []
    for _ in range(20):
        world.send("victim", 1, 0.0001, user="alice")
        iterations.append(world.iterate())
    assert [
        iteration for iteration in iterations if any(name != "victim" for name in iteration) and len(iteration) > 1
    ] == []
    assert collections.Counter(name for iteration in iterations for name in iteration)["victim"] >= 14
    assert {name for iteration in iterations for name in iteration} == {
        "victim",
        *(f"large{number}" for number in range(5)),
    }
    assert not any(one.is_waiting for one in large)


def test_a_scheduler_without_a_loop_waits_for_one() -> None:
    scheduler = Scheduler()
    scheduler.wake()
    asyncio.run(asyncio.sleep(0))
    assert scheduler.queued == 0
