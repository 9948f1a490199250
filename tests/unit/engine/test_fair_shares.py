"""Fair shares of slots and of work."""

import collections

from hypothesis import given
from hypothesis import strategies as st

from mqguard.engine.fair_shares import FairSlots, RoundRobin


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 8))
def test_no_owner_loses_its_even_share_to_another(steps, capacity):
    """The counts equal those of a plain model, and only an owner with more slots than the new one loses a slot."""
    places: FairSlots[int] = FairSlots(capacity)
    model: dict[str, list[int]] = collections.defaultdict(list)
    owner_of = {}
    for number, (owner, leaves) in enumerate(steps):
        if leaves:
            if model[owner]:
                places.free(owner, model[owner].pop())
            continue
        if places.is_full:
            loser = places.to_remove_for(owner)
            counts = {name: len(kept) for name, kept in model.items()}
            if loser is None:
                assert max(counts.values()) <= counts.get(owner, 0) + 1
                continue
            other = owner_of[loser]
            assert counts[other] == max(counts.values()) > counts.get(owner, 0) + 1
            assert model[other][0] == loser
            places.free(other, model[other].pop(0))
        places.take(owner, number)
        owner_of[number] = owner
        model[owner].append(number)
        assert len(places) == sum(map(len, model.values())) <= capacity
        assert all(places.count(name) == len(kept) for name, kept in model.items())


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 10), st.integers(1, 5))
def test_rounds_serve_every_owner_in_order(owners, limit, limit_of_one):
    rounds: RoundRobin[tuple[str, int]] = RoundRobin()
    for number, owner in enumerate(owners):
        rounds.add(owner, (owner, number))
    seen = []
    while len(rounds):
        got = list(rounds.take(limit, limit_of_one))
        assert 0 < len(got) <= limit
        counts = collections.Counter(owner for owner, _ in got)
        assert max(counts.values()) <= limit_of_one
        seen += got
    assert sorted(seen, key=lambda thing: thing[1]) == list(zip(owners, range(len(owners)), strict=True))
    for owner in "abc":
        of_one = [number for name, number in seen if name == owner]
        assert of_one == sorted(of_one)


def test_a_long_queue_does_not_delay_a_short_one():
    rounds: RoundRobin[str] = RoundRobin()
    for _ in range(100):
        rounds.add("greedy", "greedy")
    rounds.add("alice", "alice")
    assert "alice" in list(rounds.take(2, 2))
