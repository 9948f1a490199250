"""`decide` against the naive oracle, and rules that hold whatever the policies say."""

import itertools
import os
import random

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import compare
from mqguard.auth.decide import decide
from mqguard.auth.policy import Action, Decision, Entry, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.records import encode_acl
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.verdict import AccessRequest, Reason
from tests.property.auth import oracle
from tests.property.auth.agreement import NORMAL, PER_CHUNK, Differs, compare_chunks, compare_small
from tests.property.auth.worlds import (
    acl_of,
    acls,
    entries,
    policies,
    quick,
    request_lists,
    small_entries,
    small_requests,
    users,
)

DECISIONS = int(os.environ.get("MQGUARD_DECISIONS", "1_000_000"))


@quick
@given(users, acls, request_lists)
def test_decide_agrees_with_the_oracle(user, acl, requests):
    rights = Rights(user, acl)
    for request in requests:
        assert decide(request, rights).allowed == oracle.allowed(user, acl, request), request


def test_decide_agrees_with_the_oracle_a_million_times():
    """The random worlds can be created again from the printed seed: `tools/deep.py --seed` compares more of them."""
    seed = int(os.environ.get("MQGUARD_SEED") or random.SystemRandom().getrandbits(32))
    chunks = range(-(-DECISIONS // PER_CHUNK))
    try:
        assert sum(compare_chunks(seed, chunks)) >= DECISIONS
    except Differs as error:
        error.add_note(f"seed {seed}")
        raise


def test_decide_agrees_with_the_oracle_on_every_pair_of_entries_of_a_small_universe():
    universe, requests = small_entries(), small_requests()
    checked = sum(compare_small(pair, requests) for pair in itertools.combinations_with_replacement(universe, 2))
    assert checked == len(universe) * (len(universe) + 1) // 2 * len(requests)


def test_decide_agrees_with_the_oracle_on_triples_of_entries_of_a_small_universe():
    """This is a sample; `tools/deep.py` compares all triples."""
    universe, requests = small_entries(), small_requests()
    chosen = random.Random(3)
    for _ in range(3_000):
        compare_small(chosen.sample(universe, 3), requests)


@quick
@given(st.lists(st.text("ab", min_size=1, max_size=20), max_size=40), st.lists(st.text("ab", max_size=24), max_size=40))
def test_the_longest_prefix_is_found_however_many_lengths_there_are(prefixes, names):
    """Each prefix reverses the decision of the next shorter one. Names that continue a prefix are tested as well."""
    acl = acl_of(
        tuple(
            Entry(
                Resource(ResourceType.TOPIC, prefix, Pattern.PREFIXED),
                (Action.PUB,),
                (),
                list(Decision)[len(prefix) % 2],
            )
            for prefix in prefixes
        )
    )
    rights = Rights(NORMAL, acl)
    for name in (*names, *prefixes, *(prefix + "a" for prefix in prefixes)):
        request = AccessRequest(ResourceType.TOPIC, name, frozenset({Action.PUB}))
        assert decide(request, rights).allowed == oracle.allowed(NORMAL, acl, request), name


@quick
@given(acls, request_lists)
def test_earlier_requests_change_nothing(acl, requests):
    remembering = Rights(NORMAL, acl)
    for request in (*requests, *reversed(requests)):
        assert decide(request, remembering) == decide(request, Rights(NORMAL, acl))


@quick
@given(acls, request_lists)
def test_stored_policies_decide_like_their_originals(acl, requests):
    stored = Rights(NORMAL, encode_acl(acl))
    for request in requests:
        assert decide(request, stored) == decide(request, Rights(NORMAL, acl))


@quick
@given(policies, policies, request_lists, st.randoms(use_true_random=False))
def test_the_order_of_entries_never_matters(custom, default, requests, shuffler):
    before = Rights(NORMAL, acl_of(custom, default))
    shuffled = [list(custom), list(default)]
    for some in shuffled:
        shuffler.shuffle(some)
    after = Rights(NORMAL, acl_of(*map(tuple, shuffled)))
    for request in requests:
        one, other = decide(request, before), decide(request, after)
        assert (one.decision, one.reason, one.policy) == (other.decision, other.reason, other.policy)


@quick
@given(policies, policies, entries, st.booleans(), request_lists)
def test_an_added_deny_never_allows_more(custom, default, entry, in_custom, requests):
    deny = Entry(entry.resource, entry.actions, entry.sources, Decision.DENY)
    before = Rights(NORMAL, acl_of(custom, default))
    after = Rights(NORMAL, acl_of((*custom, deny), default) if in_custom else acl_of(custom, (*default, deny)))
    for request in requests:
        assert decide(request, before).allowed or not decide(request, after).allowed


@quick
@given(policies, policies, request_lists)
def test_deny_wins_every_tie(custom, default, requests):
    """If each entry also exists as a Deny, nothing is allowed."""
    denied = tuple(Entry(entry.resource, entry.actions, entry.sources, Decision.DENY) for entry in (*custom, *default))
    rights = Rights(NORMAL, acl_of((*custom, *default, *denied)))
    for request in requests:
        assert not decide(request, rights).allowed


@quick
@given(acls, request_lists)
def test_any_of_several_actions_is_one_of_them_alone(acl, requests):
    rights = Rights(NORMAL, acl)
    for request in requests:
        alone = [
            decide(AccessRequest(request.type, request.name, frozenset({action}), request.address), rights).allowed
            for action in request.actions
        ]
        assert decide(request, rights).allowed == any(alone)


@quick
@given(acls, request_lists)
def test_a_verdict_names_the_entry_that_decided_and_it_matches(acl, requests):
    rights = Rights(NORMAL, acl)
    for request in requests:
        verdict = decide(request, rights)
        if verdict.decided_by is None:
            assert verdict.reason not in (Reason.ALLOWED, Reason.DENIED)
            assert not verdict.considered
            continue
        assert verdict.decided_by in verdict.considered
        assert verdict.decided_by.decision is verdict.decision
        assert verdict.decided_by in acl.entries(verdict.policy)
        assert all(oracle.names(entry, request) for entry in verdict.considered)
        assert all(oracle.from_there(entry, request) for entry in verdict.considered)


def expanded(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return the entries with `Topic:n%*` and `Group:n%*` in place of `Namespace:n`."""
    found = []
    for entry in entries:
        resource = entry.resource
        if resource.type is ResourceType.NAMESPACE and resource.pattern is Pattern.LITERAL:
            kinds = (ResourceType.TOPIC, ResourceType.GROUP)
            meant = [Resource(kind, f"{resource.name}%", Pattern.PREFIXED) for kind in kinds]
            found += [Entry(one, entry.actions, entry.sources, entry.decision) for one in meant]
        else:
            found.append(entry)
    return tuple(found)


@quick
@given(acls, request_lists)
def test_a_namespace_means_the_prefix_of_its_topics_and_groups(acl, requests):
    one = Rights(NORMAL, acl)
    meant = acl_of(*(expanded(acl.entries(kind)) for kind in PolicyType))
    other = Rights(NORMAL, meant)
    for request in requests:
        before, after = decide(request, one), decide(request, other)
        assert (before.decision, before.reason, before.policy) == (after.decision, after.reason, after.policy)
    assert compare(AccessState.of([NORMAL], [acl]), AccessState.of([NORMAL], [meant])).is_empty
