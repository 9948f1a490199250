import pytest

from mqguard.auth.explain import _WHY, EntryOutcome, explain, explanation_text
from mqguard.auth.minimal_change import ChangeKind
from mqguard.auth.policy import Acl, Action, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.records import encode_acl
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest, Reason
from tests.fixtures.policies import entry


def rights(*entries, default=(), kind=UserType.NORMAL, status=UserStatus.ENABLE):
    policies = (Policy(PolicyType.CUSTOM, entries), Policy(PolicyType.DEFAULT, tuple(default)))
    return Rights(User("alice", (), kind, status), Acl(Subject("alice"), policies))


def ask(name="orders", actions="Pub", address="10.1.2.3", kind=ResourceType.TOPIC):
    return AccessRequest(kind, name, frozenset(map(Action.parse, actions.split(","))), parse_address(address))


def standings(explanation):
    return [(one.entry.resource.key, one.outcome) for one in explanation.considered]


def test_every_covering_entry_is_listed_with_its_outcome():
    found = explain(
        "alice",
        ask(),
        rights(
            entry("*", "All"),
            entry("Topic:*", "Sub"),
            entry("Topic:order*", "Pub", decision="Deny"),
            entry("Topic:orders", "Pub", "192.168.0.0/16"),
            entry("Topic:other"),
            entry("Group:orders"),
            default=[entry("Topic:orders", "All")],
        ),
    )
    assert found.verdict.reason is Reason.DENIED
    assert standings(found) == [
        ("Topic:orders", EntryOutcome.OTHER_ADDRESS),
        ("Topic:order*", EntryOutcome.DECIDED),
        ("Topic:*", EntryOutcome.OTHER_ACTION),
        ("*", EntryOutcome.OVERRULED),
        ("Topic:orders", EntryOutcome.DEFAULT_SHADOWED),
    ]


@pytest.mark.parametrize(
    ("winner", "loser", "why"),
    [
        (entry("Topic:*"), entry("*"), "`Topic:*` names a type, which comes before `*`"),
        (entry("Topic:orders"), entry("Topic:order*"), "`Topic:orders` is a name, which comes before a prefix"),
        (entry("Topic:order*"), entry("Topic:*"), "`Topic:order*` is a prefix, which comes before all names"),
        (entry("Topic:order*"), entry("Topic:o*"), "`Topic:order*` is the longer prefix"),
        (entry("Topic:o*", decision="Deny"), entry("Topic:o*"), "Deny comes before Allow for the same resource"),
        (
            entry("Topic:o*"),
            entry("Topic:o*", "Pub,Sub"),
            "it has the same decision as the first entry for the same resource",
        ),
    ],
)
def test_the_reason_for_precedence_is_the_first_difference(winner, loser, why):
    overruled = [
        one.why
        for one in explain("alice", ask(), rights(loser, winner)).considered
        if one.outcome is EntryOutcome.OVERRULED
    ]
    assert overruled == [why]


def test_of_several_actions_each_has_its_first_entry():
    found = explain(
        "alice", ask(actions="Pub,Sub"), rights(entry("Topic:orders", decision="Deny"), entry("Topic:*", "Sub"))
    )
    assert found.verdict.allowed
    assert standings(found) == [("Topic:orders", EntryOutcome.OVERRULED), ("Topic:*", EntryOutcome.DECIDED)]
    denied = explain(
        "alice",
        ask(actions="Pub,Sub"),
        rights(entry("Topic:orders", decision="Deny"), entry("Topic:*", "Sub", decision="Deny")),
    )
    assert standings(denied) == [("Topic:orders", EntryOutcome.DECIDED), ("Topic:*", EntryOutcome.AGREES)]


def test_stored_policies_are_explained_alike():
    given = rights(entry("Topic:orders", decision="Deny"), entry("Topic:*"))
    stored = Rights(given.user, encode_acl(given.acl))
    assert explain("alice", ask(), stored) == explain("alice", ask(), given)


@pytest.mark.parametrize(
    ("given", "request_", "step"),
    [
        (None, ask(), ChangeKind.CREATE_USER),
        (rights(status=UserStatus.DISABLE), ask(), ChangeKind.ENABLE_USER),
        (rights(kind=UserType.SUPER), ask(), ChangeKind.MAKE_NORMAL),
        (rights(), ask(name=" "), None),
        (rights(), ask(kind=ResourceType.ANY), None),
        (rights(), AccessRequest(ResourceType.TOPIC, "t", frozenset()), None),
    ],
)
def test_a_verdict_without_an_entry_is_reversed_by_its_reason(given, request_, step):
    turn = explain("alice", request_, given).minimal_change
    assert (turn.kind if turn else None) is step


def test_the_text_is_complete():
    text = explanation_text(
        explain(
            "alice",
            ask(),
            rights(entry("Topic:order*", "Pub,Sub", decision="Deny"), entry("*", "All", "10.0.0.0/8,::1")),
        )
    )
    assert text == (
        "Deny: User:alice Pub Topic:orders from 10.1.2.3\n"
        "reason: denied, an entry denies it\n"
        "entries that cover the resource, best first:\n"
        " => Custom: Deny Pub,Sub on Topic:order* from anywhere (decided: it is the first entry that matches)\n"
        "    Custom: Allow All on * from 10.0.0.0/8,::1 (overruled: `Topic:order*` names a type, which comes before `*`)\n"
        "smallest change that reverses this decision:\n"
        "  add to User:alice Custom: Allow Pub on Topic:orders from 10.1.2.3"
    )


def test_the_text_marks_deciding_and_agreeing_entries():
    """Each line has its policy, and the text has every required change."""
    text = explanation_text(
        explain(
            "alice",
            ask(actions="Pub,Sub", address=""),
            rights(
                entry("Topic:orders", "Pub", decision="Deny"),
                entry("Topic:orders", "Pub,Sub", decision="Deny"),
                entry("Topic:orders", "Get"),
                default=[entry("Topic:*")],
            ),
        )
    )
    assert text.split("\n") == [
        "Deny: User:alice Pub or Sub Topic:orders",
        "reason: denied, an entry denies it",
        "entries that cover the resource, best first:",
        " => Custom: Deny Pub on Topic:orders from anywhere (decided: it is the first entry that matches)",
        "  = Custom: Deny Pub,Sub on Topic:orders from anywhere (agrees: it is the first entry for another requested action and has the same decision)",
        "    Custom: Allow Get on Topic:orders from anywhere (other-action: its actions do not match the request)",
        "    Default: Allow Pub on Topic:* from anywhere (default-shadowed: a Custom entry covers the resource, so Default entries do not apply)",
        "smallest change that reverses this decision:",
        "  remove from User:alice Custom: Deny Pub,Sub on Topic:orders from anywhere",
        "  add to User:alice Custom: Allow Sub on Topic:orders from anywhere",
    ]


@pytest.mark.parametrize(
    ("given", "request_", "lines"),
    [
        (
            None,
            ask(),
            [
                "Deny: User:alice Pub Topic:orders from 10.1.2.3",
                "reason: unknown-user, the user does not exist",
                "smallest change that reverses this decision:",
                "  create the user `alice`",
                "  add to User:alice Custom: Allow Pub on Topic:orders from 10.1.2.3",
            ],
        ),
        (
            rights(entry("Topic:*"), status=UserStatus.DISABLE),
            ask(),
            [
                "reason: disabled, the user is disabled",
                "    Custom: Allow Pub on Topic:* from anywhere (not-evaluated: policies are not evaluated)",
                "smallest change that reverses this decision: enable the user `alice`",
            ],
        ),
        (
            rights(entry("Topic:*"), kind=UserType.SUPER),
            ask(),
            [
                "smallest change that reverses this decision: disable the user `alice`; as a Normal user its policies would still allow the request"
            ],
        ),
        (
            rights(kind=UserType.SUPER),
            ask(),
            [
                "Allow: User:alice Pub Topic:orders from 10.1.2.3",
                "smallest change that reverses this decision: make the user `alice` Normal, or disable it",
            ],
        ),
        (
            rights(),
            ask(address=""),
            [
                "Deny: User:alice Pub Topic:orders",
                "no entry covers the resource",
                "  add to User:alice Custom: Allow Pub on Topic:orders from anywhere",
            ],
        ),
        (
            rights(),
            AccessRequest(ResourceType.TOPIC, "t", frozenset()),
            ["Deny: User:alice no action Topic:t", "reason: no-action, the request names no action"],
        ),
        (rights(), ask(actions="Pub,Get"), ["Deny: User:alice Get or Pub Topic:orders from 10.1.2.3"]),
    ],
)
def test_every_reason_has_a_sentence(given, request_, lines):
    text = explanation_text(explain("alice", request_, given)).split("\n")
    assert all(line in text for line in lines), text


def test_every_reason_is_explained():
    assert set(_WHY) == set(Reason)


@pytest.mark.parametrize("decision", ["Allow", "Deny"])
def test_the_first_of_equal_entries_decides(decision):
    first, second = entry("Topic:orders", "Pub", decision=decision), entry("Topic:orders", "Pub,Sub", decision=decision)
    found = explain("alice", ask(), rights(first, second))
    assert found.verdict.decided_by == first
    assert [one.outcome for one in found.considered] == [EntryOutcome.DECIDED, EntryOutcome.OVERRULED]
