"""Order locks."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqguard.engine.locks import LOCK_LIFE_MS, Locks

C1, C2, C3 = ("alice", "c1"), ("alice", "c2"), ("bob", "c1")
Q0, Q1 = ("orders", "broker-a", 0), ("orders", "broker-a", 1)


def test_a_queue_is_locked_by_one_client():
    locks = Locks()
    assert locks.lock("g", C1, [Q0, Q1], 0) == [Q0, Q1]
    assert locks.lock("g", C2, [Q0, Q1], 1) == []
    assert locks.holder("g", Q0, 1) == C1


def test_groups_lock_queues_independently():
    locks = Locks()
    locks.lock("g", C1, [Q0], 0)
    assert locks.lock("h", C2, [Q0], 0) == [Q0]


def test_a_lock_expires_without_renewal():
    locks = Locks()
    locks.lock("g", C1, [Q0], 0)
    assert locks.lock("g", C2, [Q0], LOCK_LIFE_MS - 1) == []
    assert locks.lock("g", C2, [Q0], LOCK_LIFE_MS) == [Q0]


def test_only_the_holder_unlocks():
    locks = Locks()
    locks.lock("g", C1, [Q0], 0)
    locks.unlock("g", C2, [Q0])
    assert locks.holder("g", Q0, 1) == C1
    locks.unlock("g", C1, [Q0])
    assert locks.holder("g", Q0, 1) is None
    locks.unlock("unknown", C1, [Q0])


def test_a_group_whose_locks_have_expired_does_not_consume_in_order():
    locks = Locks()
    locks.lock("g", C1, [Q0], 0)
    assert locks.holds_any("g", LOCK_LIFE_MS - 1)
    assert not locks.holds_any("g", LOCK_LIFE_MS)
    assert not locks.holds_any("h", 0)


def test_expired_locks_and_those_of_deleted_groups_take_no_memory():
    locks = Locks(capacity=1)
    locks.lock("g", C1, [Q0], 0)
    assert locks.lock("g", C3, [Q1], LOCK_LIFE_MS) == []
    locks.expire(LOCK_LIFE_MS)
    assert locks.lock("g", C3, [Q1], LOCK_LIFE_MS) == [Q1]
    locks.remove_group("g")
    assert locks.lock("g", C1, [Q0], LOCK_LIFE_MS) == [Q0]


def test_two_users_with_one_client_id_do_not_share_locks():
    locks = Locks()
    assert locks.lock("g", C1, [Q0], 0) == [Q0]
    assert locks.lock("g", C3, [Q0], 0) == []
    locks.unlock("g", C3, [Q0])
    assert locks.holder("g", Q0, 1) == C1


def test_a_user_with_many_locks_leaves_others_their_share():
    locks = Locks(capacity=4)
    queues = [("orders", "broker-a", number) for number in range(8)]
    assert len(locks.lock("g", C1, queues, 0)) == 4
    assert len(locks.lock("h", C3, queues, 0)) == 2
    assert locks.lock("h", C1, queues, 0) == []
    locks.unlock("g", C1, queues)
    assert len(locks.lock("h", C3, queues, 0)) == 4


class LocksAgainstModel(RuleBasedStateMachine):
    """Locks compared with a plain dictionary of (group, queue) -> (holder, time)."""

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
        client=st.sampled_from([C1, C2, C3]),
        queues=st.sets(st.sampled_from([Q0, Q1])),
    )
    def lock(self, group, client, queues):
        expected = [q for q in queues if self.owner((group, q)) in (None, client)]
        assert sorted(self.locks.lock(group, client, queues, self.now)) == sorted(expected)
        self.model.update({(group, q): (client, self.now) for q in expected})

    @rule(
        group=st.sampled_from("gh"),
        client=st.sampled_from([C1, C2, C3]),
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
