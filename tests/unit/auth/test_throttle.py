from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.throttle import Throttle, ThrottleLimits

LIMITS = ThrottleLimits(pair_burst=3, pair_per_second=1.0, address_burst=6, address_per_second=20.0, max_counts=9)


def failing(times, user="alice", address="10.0.0.1", now_ms=0, throttle=None):
    throttle = Throttle(LIMITS) if throttle is None else throttle
    for _ in range(times):
        throttle.failed(user, address, now_ms)
    return throttle


def test_failures_up_to_the_burst_are_not_delayed():
    assert failing(2).wait_ms("alice", "10.0.0.1", 0) == 0
    assert Throttle().wait_ms("alice", "10.0.0.1", 0) == 0


def test_beyond_it_the_user_waits_at_that_address():
    throttle = failing(3)
    wait = throttle.wait_ms("alice", "10.0.0.1", 0)
    assert 0 < wait <= 1001
    assert throttle.wait_ms("alice", "10.0.0.1", wait) == 0


def test_failures_elsewhere_do_not_lock_out_a_user():
    """Failures from one address do not affect others, because each address limits its own counts."""
    throttle = Throttle()
    for now_ms in range(0, 60_000, 10):
        if throttle.wait_ms("alice", "10.0.0.1", now_ms) == 0:
            throttle.failed("alice", "10.0.0.1", now_ms)
        assert throttle.wait_ms("alice", "10.0.0.2", now_ms) == 0


def test_guesses_from_many_addresses_wait_for_the_name():
    throttle = Throttle()
    tried = 0
    for now_ms in range(10_000):
        address = f"10.0.{now_ms % 250}.{now_ms // 250}"
        if throttle.wait_ms("alice", address, now_ms) == 0:
            tried += 1
            throttle.failed("alice", address, now_ms)
    assert tried <= 500 + 10 * 100


def test_a_known_user_is_not_affected_by_failures_of_others():
    """Others fail at its address with other names, and elsewhere with its name."""
    throttle = Throttle()
    throttle.succeeded("alice", "10.0.0.1")
    for number in range(3_000):
        throttle.failed(f"user{number}", "10.0.0.1", 0)
        throttle.failed("alice", f"10.1.{number % 250}.{number // 250}", 0)

    assert throttle.wait_ms("alice", "10.0.0.1", 0) == 0
    assert throttle.wait_ms("bob", "10.0.0.1", 0) > 0
    assert throttle.wait_ms("alice", "10.0.0.2", 0) > 0


def test_an_ipv6_network_is_one_address():
    throttle = failing(3, address="2001:db8::1")
    assert throttle.wait_ms("alice", "2001:db8::ffff", 0) > 0
    assert throttle.wait_ms("alice", "2001:db8:0:1::1", 0) == 0


def test_an_address_that_tries_many_users_waits_for_all_of_them():
    throttle = Throttle(LIMITS)
    for number in range(6):
        throttle.failed(f"user{number}", "10.0.0.1", 0)
    assert throttle.wait_ms("somebody", "10.0.0.1", 0) > 0
    assert throttle.wait_ms("somebody", "10.0.0.2", 0) == 0


def test_guesses_are_limited_to_the_rate():
    throttle = Throttle(LIMITS)
    tried = 0
    for now_ms in range(0, 60_000, 10):
        if throttle.wait_ms("alice", "10.0.0.1", now_ms) == 0:
            tried += 1
            throttle.failed("alice", "10.0.0.1", now_ms)
    assert 60 <= tried <= 60 + LIMITS.pair_burst


def test_misconfigured_clients_do_not_block_their_address():
    """Five users fail five times a second for ever. Other users at their address can always try at once."""
    throttle = Throttle()
    for now_ms in range(0, 300_000, 200):
        for wrong in "abcde":
            if throttle.wait_ms(wrong, "10.0.0.1", now_ms) == 0:
                throttle.failed(wrong, "10.0.0.1", now_ms)
        assert throttle.wait_ms("alice", "10.0.0.1", now_ms) == 0, now_ms


def test_failures_without_a_name_count_for_the_empty_name():
    throttle = failing(5, user="")
    assert throttle.wait_ms("", "10.0.0.1", 0) > 1000
    assert throttle.wait_ms("alice", "10.0.0.1", 0) == 0
    throttle.failed("alice", "10.0.0.1", 0)
    assert throttle.wait_ms("bob", "10.0.0.1", 0) > 0


def test_memory_is_bounded():
    throttle = Throttle(LIMITS)
    for number in range(1000):
        throttle.failed(f"user{number}", f"10.0.{number % 7}.{number % 251}", 0)
        throttle.succeeded(f"user{number}", "10.0.0.1")
    assert len(throttle) <= LIMITS.max_counts
    # Only the last users that authenticated at the address are still exempt from the failures of others there.
    for number in range(LIMITS.address_burst + 1):
        throttle.failed(f"other{number}", "10.0.0.1", 0)
    assert throttle.wait_ms("user999", "10.0.0.1", 0) == 0
    assert throttle.wait_ms("user0", "10.0.0.1", 0) > 0


def test_expired_counts_are_removed():
    throttle = failing(3)
    assert throttle.wait_ms("alice", "10.0.0.1", 10_000) == 0
    assert len(throttle) == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 5000)), max_size=60))
def test_a_wait_is_never_longer_than_its_maximum(attempts):
    throttle = Throttle(LIMITS)
    now = 0
    for user, address, later in attempts:
        now += later
        if throttle.wait_ms(user, address, now) == 0:
            throttle.failed(user, address, now)
        for who in "ab":
            assert throttle.wait_ms(who, address, now) <= 1001


@pytest.mark.parametrize("back", [1, 100_000])
def test_a_clock_that_steps_back_does_no_harm(back):
    throttle = failing(3, now_ms=200_000)
    assert throttle.wait_ms("alice", "10.0.0.1", 200_000 - back) <= 1001


def test_the_counts_that_were_used_longest_ago_are_dropped_first():
    limits = ThrottleLimits(pair_burst=1, address_burst=1000, max_counts=6)
    throttle = Throttle(limits)
    throttle.failed("old", "a", 0)
    throttle.failed("young", "a", 0)
    throttle.failed("old", "a", 1)
    throttle.failed("x", "b", 2)
    assert len(throttle) == 6
    assert throttle.wait_ms("old", "a", 2) > 0
    assert throttle.wait_ms("young", "a", 2) == 0


def test_a_count_is_dropped_as_soon_as_it_has_run_down():
    throttle = failing(1)
    assert throttle.wait_ms("alice", "10.0.0.1", 9) == 0
    assert len(throttle) == 3
    assert throttle.wait_ms("alice", "10.0.0.1", 1000) == 0
    assert len(throttle) == 0


def test_the_limits_are_the_documented_ones():
    throttle = failing(49, throttle=Throttle())
    assert throttle.wait_ms("alice", "10.0.0.1", 0) == 0
    throttle.failed("alice", "10.0.0.1", 0)
    assert throttle.wait_ms("alice", "10.0.0.1", 0) == 101
    for number in range(149):
        throttle.failed(f"user{number}", "10.0.0.1", 0)
    assert throttle.wait_ms("bob", "10.0.0.1", 0) == 0
    throttle.failed("user149", "10.0.0.1", 0)
    assert throttle.wait_ms("bob", "10.0.0.1", 0) == 21


class Plain:
    """A model of the rules with exact fractions and unlimited memory."""

    def __init__(self, limits):
        self.limits = limits
        self.counts = {}
        self.known = set()

    def rules(self, user, address):
        limits = self.limits
        return {
            (user, address): (limits.pair_burst, Fraction(limits.pair_per_second)),
            (None, address): (limits.address_burst, Fraction(limits.address_per_second)),
            (user, None): (limits.name_burst, Fraction(limits.name_per_second)),
        }

    def level(self, key, rate, now_ms):
        level, then_ms = self.counts.get(key, (Fraction(0), now_ms))
        return max(Fraction(0), level - max(0, now_ms - then_ms) * rate / 1000)

    def failed(self, user, address, now_ms):
        for key, (burst, rate) in self.rules(user, address).items():
            highest = burst - 1 + Fraction(self.limits.max_wait_s) * rate
            self.counts[key] = min(self.level(key, rate, now_ms) + 1, highest), now_ms

    def succeeded(self, user, address):
        self.known.add((user, address))

    def wait_ms(self, user, address, now_ms):
        """Return the exact time until each count is one failure below its limit."""
        over = {
            key: (self.level(key, rate, now_ms) + 1 - burst) / rate
            for key, (burst, rate) in self.rules(user, address).items()
        }
        if (user, address) in self.known:
            over = {(user, address): over[user, address]}
        return 1000 * max(0, *over.values())


attempts = st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from("xy"), st.integers(-50, 3000), st.integers(0, 9))


@given(
    st.builds(
        ThrottleLimits,
        pair_burst=st.integers(1, 4),
        address_burst=st.integers(1, 8),
        name_burst=st.integers(1, 8),
        pair_per_second=st.sampled_from([0.25, 1.0, 3.0]),
        address_per_second=st.sampled_from([0.5, 1.0, 20.0]),
        name_per_second=st.sampled_from([0.5, 1.0, 20.0]),
        max_wait_s=st.sampled_from([2.0, 4.0]),
    ),
    st.lists(attempts, max_size=40),
)
def test_a_wait_ends_within_a_millisecond_of_the_exact_time(limits, history):
    throttle, plain = Throttle(limits), Plain(limits)
    now = 1_000_000
    for user, address, later, kind in history:
        now += later
        if kind == 0:
            throttle.succeeded(user, address)
            plain.succeeded(user, address)
        elif kind < 8:
            throttle.failed(user, address, now)
            plain.failed(user, address, now)
        for who in ("a", "b", ""):
            exact, wait = float(plain.wait_ms(who, address, now)), throttle.wait_ms(who, address, now)
            assert exact - 1e-6 <= wait <= exact + 1 + 1e-6
            assert wait > 0 or exact < 1e-6
            assert exact > 0 or wait <= 1


def test_several_processes_together_verify_as_many_attempts_as_one() -> None:
    """Each of them has a third of the attempts, and is open again at a third of the rate."""
    whole, part = ThrottleLimits(), ThrottleLimits().divided(3)
    for limits, allowed in ((whole, whole.pair_burst), (part, whole.pair_burst // 3)):
        throttle = Throttle(limits)
        verified = 0
        while not throttle.wait_ms("alice", "10.0.0.1", 0):
            throttle.failed("alice", "10.0.0.1", 0)
            verified += 1
        assert verified == allowed
    assert ThrottleLimits().divided(1) == whole
    assert ThrottleLimits().divided(1_000_000).pair_burst == 1
