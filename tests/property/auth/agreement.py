"""Many comparisons of `decide` with the naive oracle: random worlds from a seed, and all of a small universe."""

import random
from collections.abc import Iterable, Iterator

from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Action, Entry, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.user import User
from mqguard.auth.verdict import AccessRequest
from tests.property.auth import oracle
from tests.property.auth.worlds import SETS, acl_of, random_question, random_world

NORMAL = User("u", ())
SINGLE = tuple(frozenset({action}) for action in Action)
QUESTIONS_PER_WORLD = 12
SETS_PER_QUESTION = 24
PER_WORLD = QUESTIONS_PER_WORLD * SETS_PER_QUESTION
WORLDS_PER_CHUNK = 100
PER_CHUNK = PER_WORLD * WORLDS_PER_CHUNK


class Differs(AssertionError):
    """A difference between `decide` and the oracle; the message has the whole world and the request."""


def compare_chunks(seed: int, chunks: Iterable[int]) -> Iterator[int]:
    """Compare in random worlds; the same seed and chunk number always create the same worlds.

    Yields:
        The number of decisions that were compared in that chunk.

    Raises:
        Differs: A decision differs from the oracle's.
    """
    for chunk in chunks:
        chosen = random.Random(f"{seed}/{chunk}")
        for _ in range(WORLDS_PER_CHUNK):
            user, acl = random_world(chosen)
            rights = Rights(user, acl)
            for _ in range(QUESTIONS_PER_WORLD):
                asked = (*SINGLE, *chosen.choices(SETS, k=SETS_PER_QUESTION - len(SINGLE)))
                _compare(user, acl, rights, random_question(chosen), asked)
        yield PER_CHUNK


def compare_small(chosen: Iterable[tuple[PolicyType, Entry]], requests: Iterable[AccessRequest]) -> int:
    """Compare every request of a small universe for a user with these entries; return the number of decisions.

    Raises:
        Differs: As for `compare_chunks`.
    """
    entries = list(chosen)
    acl = acl_of(
        tuple(entry for kind, entry in entries if kind is PolicyType.CUSTOM),
        tuple(entry for kind, entry in entries if kind is PolicyType.DEFAULT),
    )
    rights = Rights(NORMAL, acl)
    return sum(_compare(NORMAL, acl, rights, request, (request.actions,)) for request in requests)


def _compare(
    user: User, acl: Acl, rights: Rights, question: AccessRequest, asked: tuple[frozenset[Action], ...]
) -> int:
    expected = oracle.allowed_each(user, acl, question, asked)
    for actions, allowed in zip(asked, expected, strict=True):
        request = AccessRequest(question.type, question.name, actions, question.address)
        if decide(request, rights).allowed is not allowed:
            raise Differs(f"the oracle says {allowed}: {user} {acl} {request}")
    return len(asked)
