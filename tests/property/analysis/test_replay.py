"""Replayed decisions are those that `decide` makes, whatever the policies."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.replay import Occurrences, RecordedDecision, replay
from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Decision, Policy, PolicyType
from mqguard.auth.user import Subject, User
from tests.property.auth.worlds import entries, quick, requests

NAMES = ("a", "b", "c")
policies = st.lists(entries, min_size=1, max_size=4).map(tuple)
acls = st.builds(
    lambda name, custom, default: Acl(
        Subject(name), (Policy(PolicyType.CUSTOM, custom), *([Policy(PolicyType.DEFAULT, default)] if default else []))
    ),
    st.sampled_from(NAMES),
    policies,
    st.lists(entries, max_size=2).map(tuple),
)
directories = st.builds(
    AccessState.of,
    st.sets(st.sampled_from(NAMES[:2])).map(lambda names: [User(name, ()) for name in names]),
    st.lists(acls),
)
asked = st.dictionaries(
    st.builds(RecordedDecision, st.sampled_from(NAMES), requests, st.booleans()),
    st.integers(1, 9).map(lambda count: Occurrences(count, "now")),
    max_size=20,
)


@quick
@given(directories, asked)
def test_changed_decisions_are_those_of_decide(directory, asked):
    found = replay(asked, directory)
    verdicts = {one: decide(one.request, directory.rights(one.user)) for one in asked}
    assert {one.recorded: one.verdict for one in found.changed} == {
        one: verdict for one, verdict in verdicts.items() if verdict.allowed != one.allowed
    }
    order = [(one.verdict.allowed, -one.occurrences.count) for one in found.changed]
    assert order == sorted(order)


@quick
@given(directories, asked)
def test_without_unused_entries_no_allowed_request_is_denied(directory, asked):
    """All unused entries can be removed at once. A denied request may then be allowed by a Default entry."""
    decided = {
        RecordedDecision(one.user, one.request, decide(one.request, directory.rights(one.user)).allowed): times
        for one, times in asked.items()
    }
    unused = {(place.subject, place.policy, place.number) for place, _ in replay(decided, directory).unused}
    kept = [
        Acl(
            acl.subject,
            tuple(
                Policy(policy.type, left)
                for policy in acl.policies
                if (
                    left := tuple(
                        entry
                        for number, entry in enumerate(policy.entries, 1)
                        if (name, policy.type, number) not in unused
                    )
                )
            ),
        )
        for name, acl in directory.acls.items()
    ]
    assert all(entry.decision is Decision.ALLOW for _, entry in replay(decided, directory).unused)
    turned = replay(decided, AccessState.of(directory.users.values(), kept)).changed
    assert all(one.verdict.allowed for one in turned)
