"""For any rotations, a user always has one or two secrets."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.authentication import Match, match, sign
from mqguard.auth.manager import MetadataManager
from mqguard.auth.user import Secret
from mqguard.store.metadata.memory import MemoryMetadataStore

CONTENT = b"content"
TEXTS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.tuples(TEXTS, st.none() | st.integers(1, 50), st.integers(0, 30)),
    max_size=8,
)


@given(STEPS)
def test_the_last_secret_always_works_and_an_old_one_until_its_end(steps):
    """A model with only two texts and one end agrees at every moment."""
    manager = MetadataManager(MemoryMetadataStore())
    manager.create_user("alice", "a")
    now, current, old, end = 0, "a", None, -1
    for text, keep, wait in steps:
        until = None if keep is None else now + keep
        manager.update_user("alice", text, keep_old_until=until)
        if until is None:
            old = None
        elif text == current:
            end = min(end, until)
        else:
            old, end = current, until
        current = text
        for moment in (now, now + wait):
            user = manager.get_user("alice")
            live = {one for one in "abc" if match(user, CONTENT, sign(Secret(one), CONTENT), moment) is Match.RIGHT}
            assert live == {current} | ({old} if old is not None and moment <= end else set())
            assert 1 <= len(user.secrets) <= 2
            assert user.secrets[0].not_after is None
        now += wait
