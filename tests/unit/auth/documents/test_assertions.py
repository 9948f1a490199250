"""Tests in a document hold for every request that they match, or show one that fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.decide import decide
from mqguard.auth.documents.assertions import check, describe
from mqguard.auth.documents.document import Assertion
from mqguard.auth.documents.nodes import Mark
from mqguard.auth.documents.reader import read_document
from mqguard.auth.policy import Decision
from mqguard.auth.verdict import Reason
from tests.property.analysis.universe import ACTIONS, REQUESTS, directories, effort, resources, sources

POLICIES = """\
version: 1
users:
  root: {type: Super}
  alice: {}
  dora: {status: disable}
policies:
  User:alice:
    custom:
      - {resource: "Topic:order*", actions: Pub, sources: 10.0.0.0/8, decision: Allow}
      - {resource: Topic:order-secret, actions: All, decision: Deny}
      - {resource: "Group:*", actions: Sub, decision: Allow}
tests:
  - """


def outcome(test):
    document = read_document(POLICIES + test)
    (found,) = check(document.tests, document.directory)
    return found


@pytest.mark.parametrize(
    "test",
    [
        "{user: alice, action: Pub, resource: Topic:order-1, from: 10.1.2.3, must: allow}",
        "{user: alice, action: Pub, resource: Topic:order-1, from: 10.1.0.0/16, must: allow, reason: allowed}",
        "{user: alice, action: [Pub, Sub], resource: Topic:order-secret, must: deny}",
        "{user: alice, action: All, resource: Topic:order-secret, must: deny, reason: denied}",
        "{user: alice, action: Pub, resource: 'Topic:order*', from: 2001:db8::/32, must: deny}",
        "{user: alice, action: Sub, resource: ['Group:*', Group:g], must: allow}",
        "{user: alice, action: Pub, resource: 'Topic:pay*', must: deny, reason: no-match}",
        "{user: root, action: All, resource: '*', must: allow, reason: super}",
        "{user: dora, action: All, resource: '*', must: deny, reason: disabled}",
        "{user: nobody, action: All, resource: '*', must: deny, reason: unknown-user}",
    ],
)
def test_a_test_that_passes(test):
    """Names, prefixes and ranges are tested as a whole."""
    assert outcome(test).holds


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            "{user: alice, action: Pub, resource: Topic:order-1, must: allow}",
            "`alice` Pub Topic:order-1 from 192.0.2.1 is denied (no-match)",
        ),
        (
            "{user: alice, action: Pub, resource: 'Topic:order*', from: 10.0.0.0/8, must: allow}",
            "`alice` Pub Topic:order-secret from 10.0.0.1 is denied (denied)",
        ),
        (
            "{user: alice, action: Pub, resource: 'Topic:order*', from: 10.0.0.0/8, must: deny}",
            "`alice` Pub Topic:order from 10.0.0.1 is allowed (allowed)",
        ),
        (
            "{user: alice, action: Pub, resource: Topic:order-secret, must: deny, reason: no-match}",
            "`alice` Pub Topic:order-secret from 192.0.2.1 is denied (denied)",
        ),
        ("{user: alcie, action: Pub, resource: Topic:a, must: deny}", "the user `alcie` does not exist"),
    ],
)
def test_a_test_that_fails_shows_a_request(test, message):
    """The message has the request, the decision and its reason. A test of a misspelt user fails."""
    (failure,) = outcome(test).failures

    assert failure.message == message


def test_each_user_and_action_fails_alone():
    """A test of several users and actions fails for each of them, and its requirement is one line."""
    found = outcome("{user: [alice, dora], action: [Pub, Sub], resource: 'Group:*', from: 10.0.0.1, must: allow}")

    assert [failure.message for failure in found.failures] == [
        "`alice` Pub Group:any from 10.0.0.1 is denied (no-match)",
        "`dora` Pub Group:any from 10.0.0.1 is denied (disabled)",
        "`dora` Sub Group:any from 10.0.0.1 is denied (disabled)",
    ]
    assert describe(found.assertion) == "alice,dora must be allowed: Pub,Sub on Group:* from 10.0.0.1"


@given(
    directories.filter(lambda directory: directory.users),
    st.sampled_from(ACTIONS),
    resources,
    st.one_of(st.just(()), sources),
    st.sampled_from(Decision),
    st.one_of(st.none(), st.sampled_from(Reason)),
)
@effort(100)
def test_a_test_passes_if_every_request_is_decided_so(directory, action, resource, origin, must, reason):
    """Brute force over the small universe finds the same failures."""
    assertion = Assertion(("u",), (action,), (resource,), origin, must, reason, Mark(1, 1))
    (found,) = check([assertion], directory)

    inside = [
        request
        for request in REQUESTS
        if action in request.actions
        and resource.covers(request.type, request.name)
        and (
            not origin
            or (
                request.address is not None
                and any(
                    source.network.version == request.address.version and request.address in source.network
                    for source in origin
                )
            )
        )
    ]
    verdicts = [decide(request, directory.rights("u")) for request in inside]
    expected = all(v.decision is must and reason in (None, v.reason) for v in verdicts)
    assert found.holds is expected
    for failure in found.failures:
        assert resource.covers(failure.witness.type, failure.witness.name)


def test_denials_by_an_entry_differ_from_those_without_one():
    """A source that a Deny matches is found among sources without a matching entry."""
    text = (
        "version: 1\nusers: {u: {}}\npolicies:\n  User:u:\n    custom:\n"
        "      - {resource: Topic:a, actions: Pub, sources: 10.0.0.0/8, decision: Deny}\n"
        "      - {resource: 'Topic:*', actions: Pub, sources: 11.0.0.0/8, decision: Deny}\n"
        "tests:\n  - {user: u, action: Pub, resource: Topic:a, from: [9.0.0.0/8, RANGE], must: deny, reason: no-match}\n"
    )
    for block in ("10.0.0.0/8", "11.0.0.0/8"):
        document = read_document(text.replace("RANGE", block))
        (found,) = check(document.tests, document.directory)
        assert [str(failure.witness.address) for failure in found.failures] == [block.replace("0/8", "1")]


@pytest.mark.parametrize(
    ("test", "line"),
    [
        (
            "{user: alice, action: Pub, resource: Topic:a, must: deny}",
            "alice must be denied: Pub on Topic:a from anywhere",
        ),
        (
            "{user: [alice, dora], action: [Pub, Sub], resource: ['*', 'Group:g*'], from: [10.0.0.1, '::1'], must: allow}",
            "alice,dora must be allowed: Pub,Sub on *,Group:g* from 10.0.0.1,::1",
        ),
        (
            "{user: nobody, action: All, resource: '*', must: deny, reason: unknown-user}",
            "nobody must be denied (unknown-user): All on * from anywhere",
        ),
    ],
)
def test_the_text_of_a_test_is_one_line(test, line):
    """The line has every part of the test."""
    assert describe(outcome(test).assertion) == line


def test_a_missing_user_fails_once():
    """There is no request to show for that user. The other users are still tested."""
    nobody, *rest = outcome("{user: [alcie, alice], action: [Pub, Sub], resource: Topic:a, must: allow}").failures

    assert (nobody.user, nobody.witness, nobody.verdict) == ("alcie", None, None)
    assert nobody.message == "the user `alcie` does not exist"
    assert [(failure.user, failure.verdict.reason) for failure in rest] == [("alice", Reason.NO_MATCH)] * 2


@given(directories, st.lists(st.tuples(resources, st.sampled_from(Decision)), min_size=2, max_size=4))
@effort(30)
def test_tests_do_not_affect_each_other(directory, claims):
    """Many tests together fail as each of them does alone."""
    assertions = [
        Assertion((name,), tuple(ACTIONS), (resource,), (), must, None, Mark(1, 1))
        for resource, must in claims
        for name in ("u", "nobody")
    ]

    assert check(assertions, directory) == tuple(check([one], directory)[0] for one in assertions)
