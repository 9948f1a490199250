"""Order locks."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqguard.engine.locks import LOCK_LIFE_MS, Locks

Q0, Q1 = ("orders", "broker-a", 0), ("orders", "broker-a", 1)


def test_a_queue_has_one_owner():
    locks = Locks()
    assert locks.lock("g", "c1", [Q0, Q1], 0) == [Q0, Q1]
    assert locks.lock("g", "c2", [Q0, Q1], 1) == []
    assert locks.holder("g", Q0, 1) == "c1"


def test_groups_do_not_disturb_each_other():
    locks = Locks()
    locks.lock("g", "c1", [Q0], 0)
    assert locks.lock("h", "c2", [Q0], 0) == [Q0]


def test_a_lock_that_is_not_renewed_is_free_after_its_life():
    locks = Locks()
    locks.lock("g", "c1", [Q0], 0)
    assert locks.lock("g", "c2", [Q0], LOCK_LIFE_MS - 1) == []
    assert locks.lock("g", "c2", [Q0], LOCK_LIFE_MS) == [Q0]


def test_only_the_owner_unlocks():
    locks = Locks()
    locks.lock("g", "c1", [Q0], 0)
    locks.unlock("g", "c2", [Q0])
    assert locks.holder("g", Q0, 1) == "c1"
    locks.unlock("g", "c1", [Q0])
    assert locks.holder("g", Q0, 1) is None
    locks.unlock("nobody", "c1", [Q0])


def test_a_group_without_live_locks_costs_nothing():
    locks = Locks()
    locks.lock("g", "c1", [Q0], 0)
    assert locks.holds_any("g", LOCK_LIFE_MS - 1)
    assert not locks.holds_any("g", LOCK_LIFE_MS)
    assert not locks.holds_any("h", 0)
    locks.expire(LOCK_LIFE_MS)
    assert not locks._groups
    locks.lock("g", "c1", [Q0], 0)
    locks.forget_group("g")
    assert not locks._groups


class LocksAgainstModel(RuleBasedStateMachine):
    """The table against a plain dictionary of (group, queue) -> (owner, time)."""

    def __init__(self):
        super().__init__()
        self.locks = Locks()
        self.model: dict = {}
        self.now = 0

    def owner(self, key):
        owner, at = self.model.get(key, (None, 0))
        return owner if owner is not None and self.now - at < LOCK_LIFE_MS else None

    @rule(
        group=st.sampled_from("gh"),
        client=st.sampled_from(["c1", "c2", "c3"]),
        queues=st.sets(st.sampled_from([Q0, Q1])),
    )
    def lock(self, group, client, queues):
        expected = [q for q in queues if self.owner((group, q)) in (None, client)]
        assert sorted(self.locks.lock(group, client, queues, self.now)) == sorted(expected)
        self.model.update({(group, q): (client, self.now) for q in expected})

    @rule(
        group=st.sampled_from("gh"),
        client=st.sampled_from(["c1", "c2", "c3"]),
        queues=st.sets(st.sampled_from([Q0, Q1])),
    )
    def unlock(self, group, client, queues):
        self.locks.unlock(group, client, queues)
        for queue in queues:
            if self.model.get((group, queue), (None,))[0] == client:
                del self.model[group, queue]

    @rule(step=st.sampled_from([1, 20_000, LOCK_LIFE_MS]))
    def pass_time(self, step):
        self.now += step

    @rule()
    def expire(self):
        self.locks.expire(self.now)

    @invariant()
    def agree(self):
        for group in "gh":
            for queue in (Q0, Q1):
                assert self.locks.holder(group, queue, self.now) == self.owner((group, queue))


TestLocksAgainstModel = LocksAgainstModel.TestCase
