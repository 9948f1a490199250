"""Examples of the smallest change that reverses a verdict. Property tests cover every verdict."""

import pytest

from mqguard.auth.minimal_change import ChangeKind, MinimalChange, apply_to_acl, apply_to_user, find_minimal_change
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest

CUSTOM, DEFAULT = PolicyType.CUSTOM, PolicyType.DEFAULT


def entry(text):
    """Parse the text of an entry."""
    decision, actions, _, resource, _, sources = text.split(" ")
    return Entry(
        Resource.parse(resource),
        tuple(map(Action.parse, actions.split(","))),
        () if sources == "anywhere" else tuple(map(Source.parse, sources.split(","))),
        Decision.parse(decision),
    )


def acl(*custom, default=()):
    texts = {CUSTOM: custom, DEFAULT: default}
    return Acl(Subject("u"), tuple(Policy(kind, tuple(map(entry, found))) for kind, found in texts.items() if found))


def ask(actions="Pub", address="10.0.0.1", name="orders"):
    asked = frozenset(map(Action.parse, actions.split(",")))
    return AccessRequest(ResourceType.TOPIC, name, asked, parse_address(address))


def told(turn):
    """Return the policy, then each entry with `-` or `+`."""
    assert turn.kind is ChangeKind.CHANGE_ENTRIES
    lines = [*(f"- {one.text}" for one in turn.removed), *(f"+ {one.text}" for one in turn.added)]
    assert turn.size == len(lines)
    return (turn.policy, *lines)


NO_PUB, NO_PUB_HERE = "Deny Pub on Topic:orders from anywhere", "Deny Pub on Topic:orders from 10.0.0.1"
NO_SUB, NO_SUB_HERE = "Deny Sub on Topic:orders from anywhere", "Deny Sub on Topic:orders from 10.0.0.1"
NO_PREFIX, NO_TOPIC = "Deny Pub on Topic:ord* from anywhere", "Deny Pub on Topic:* from anywhere"
PUB, SUB, TOPIC = (
    f"Allow {rest} from anywhere" for rest in ("Pub on Topic:orders", "Sub on Topic:orders", "Pub on Topic:*")
)
PUB_HERE, SUB_HERE = "Allow Pub on Topic:orders from 10.0.0.1", "Allow Sub on Topic:orders from 10.0.0.1"


@pytest.mark.parametrize(
    ("given", "request_", "expected"),
    [
        # Allowed: a Deny for the exact name is added, for the allowed actions of the request and its source.
        (acl(TOPIC), ask(), (CUSTOM, f"+ {NO_PUB_HERE}")),
        (acl(TOPIC, PUB), ask(), (CUSTOM, f"+ {NO_PUB_HERE}")),
        (acl(TOPIC, PUB), ask(address=""), (CUSTOM, f"+ {NO_PUB}")),
        (acl(PUB, SUB), ask("Sub,Pub"), (CUSTOM, "+ Deny Pub,Sub on Topic:orders from 10.0.0.1")),
        (acl(TOPIC, PUB), ask("Pub,Get"), (CUSTOM, f"+ {NO_PUB_HERE}")),
        (acl(default=[TOPIC]), ask(), (DEFAULT, f"+ {NO_PUB_HERE}")),
        (acl(default=[TOPIC, PUB]), ask(), (DEFAULT, f"+ {NO_PUB_HERE}")),
        (acl(TOPIC, NO_SUB, PUB_HERE), ask(address="10.0.0.2"), (CUSTOM, "+ Deny Pub on Topic:orders from 10.0.0.2")),
        # Allowed by an entry for exactly this request: the entry is removed.
        (acl(PUB), ask(address=""), (CUSTOM, f"- {PUB}")),
        (acl(PUB, PUB), ask(address=""), (CUSTOM, f"- {PUB}")),
        (acl(PUB_HERE), ask(), (CUSTOM, f"- {PUB_HERE}")),
        (acl(f"{PUB_HERE}/32"), ask("Pub,Sub"), (CUSTOM, f"- {PUB_HERE}/32")),
        (acl(default=[PUB_HERE]), ask(), (DEFAULT, f"- {PUB_HERE}")),
        (acl(PUB_HERE, TOPIC), ask(), (CUSTOM, f"+ {NO_PUB_HERE}")),
        (acl("Allow Pub,Sub on Topic:orders from 10.0.0.1"), ask(), (CUSTOM, f"+ {NO_PUB_HERE}")),
        (acl("Allow Pub on Topic:orders from 10.0.0.1,10.0.0.2"), ask(), (CUSTOM, f"+ {NO_PUB_HERE}")),
        (acl("Allow Pub on Topic:orders* from 10.0.0.1"), ask(), (CUSTOM, f"+ {NO_PUB_HERE}")),
        # The entry stays if its removal makes a Default entry apply.
        (acl(PUB_HERE, default=[SUB]), ask(), (CUSTOM, f"+ {NO_PUB_HERE}")),
        (acl(PUB_HERE, default=["Allow Sub on Topic:other from anywhere"]), ask(), (CUSTOM, f"- {PUB_HERE}")),
        # Denied without an entry: the missing one is added, for the first of the requested actions.
        (acl(), ask(), (CUSTOM, f"+ {PUB_HERE}")),
        (acl(), ask("Sub,Pub"), (CUSTOM, f"+ {PUB_HERE}")),
        (acl(SUB), ask(address=""), (CUSTOM, f"+ {PUB}")),
        (acl(SUB, default=[PUB]), ask(), (CUSTOM, f"+ {PUB_HERE}")),
        (acl(default=[SUB]), ask(), (DEFAULT, f"+ {PUB_HERE}")),
        # Denied by a wider entry: one of higher precedence is added.
        (acl(NO_PREFIX, TOPIC), ask(), (CUSTOM, f"+ {PUB_HERE}")),
        # Denied by an entry for the name: it is removed if the request is allowed without it.
        (acl(NO_PUB_HERE, TOPIC), ask("Pub,Get"), (CUSTOM, f"- {NO_PUB_HERE}")),
        (acl(NO_PUB, TOPIC), ask(), (CUSTOM, f"- {NO_PUB}")),
        (acl(NO_PREFIX), ask(), (CUSTOM, f"+ {PUB_HERE}")),
        (acl(NO_PREFIX, NO_TOPIC, default=[PUB]), ask(), (CUSTOM, f"+ {PUB_HERE}")),
        # Without the only Custom entry, Default entries apply.
        (acl(NO_PUB, default=[PUB]), ask(), (CUSTOM, f"- {NO_PUB}")),
        # No entry precedes a Deny of the exact name: all of those are removed, and nothing else if that is enough.
        (acl(NO_PUB, NO_PUB_HERE, NO_SUB, PUB), ask(), (CUSTOM, f"- {NO_PUB}", f"- {NO_PUB_HERE}")),
        (acl(NO_PUB, NO_PREFIX), ask(), (CUSTOM, f"- {NO_PUB}", f"+ {PUB_HERE}")),
        (
            acl(NO_PUB, NO_PUB_HERE, NO_PREFIX),
            ask(),
            (CUSTOM, f"- {NO_PUB}", f"- {NO_PUB_HERE}", f"+ {PUB_HERE}"),
        ),
        # If Default denies the exact name, adding a Custom entry is smaller than removing one and adding another.
        (acl(default=[NO_PUB]), ask(), (CUSTOM, f"+ {PUB_HERE}")),
        (acl(default=[NO_PUB, NO_PUB_HERE, PUB]), ask(), (CUSTOM, f"+ {PUB_HERE}")),
        (acl(default=[NO_PUB, TOPIC]), ask(), (DEFAULT, f"- {NO_PUB}")),
        # Of several actions, the one with the smallest change; on a tie, the first.
        (acl(NO_PUB, NO_PUB_HERE, TOPIC), ask("Pub,Sub"), (CUSTOM, f"+ {SUB_HERE}")),
        (acl(NO_PUB, NO_SUB), ask("Pub,Sub"), (CUSTOM, f"- {NO_PUB}", f"+ {PUB_HERE}")),
        (acl(NO_PUB, NO_PUB_HERE, NO_SUB), ask("Pub,Sub"), (CUSTOM, f"- {NO_SUB}", f"+ {SUB_HERE}")),
        (acl(NO_SUB, NO_SUB_HERE, NO_PUB), ask("Pub,Sub"), (CUSTOM, f"- {NO_PUB}", f"+ {PUB_HERE}")),
    ],
)
def test_the_smallest_change_of_entries(given, request_, expected):
    assert told(find_minimal_change("u", request_, Rights(User("u", ()), given))) == expected


def test_a_user_without_policies_gets_an_entry():
    """The first entry also creates its policy."""
    turn = find_minimal_change("u", ask(), Rights(User("u", ()), None))

    assert told(turn) == (CUSTOM, f"+ {PUB_HERE}")
    assert apply_to_acl(Acl(Subject("u"), ()), turn) == acl(PUB_HERE)


@pytest.mark.parametrize(
    ("given", "request_", "expected"),
    [
        (acl(PUB), ask(name="*"), None),
        (acl(NO_TOPIC), ask(name="or*"), None),
        (acl(TOPIC), ask(name="or*"), (CUSTOM, f"- {TOPIC}")),
        (acl(NO_PREFIX, TOPIC), ask(name="ord*"), (CUSTOM, f"- {NO_PREFIX}")),
    ],
)
def test_a_name_that_no_entry_can_have_is_reversed_by_removal_only(given, request_, expected):
    turn = find_minimal_change("u", request_, Rights(User("u", ()), given))
    assert (told(turn) if turn else None) == expected


def test_no_invalid_entry_is_shown():
    """It is not tried either: a Deny cannot be written for such a name."""
    rights = Rights(User("u", ()), acl(TOPIC, "Allow Pub on Topic:ord* from anywhere"))
    turn = find_minimal_change("u", ask(name="ord*"), rights)

    assert turn is None or not turn.added


OFF = User("u", (), status=UserStatus.DISABLE)


@pytest.mark.parametrize(
    ("rights", "turn"),
    [
        (None, MinimalChange(ChangeKind.CREATE_USER, added=(entry(PUB_HERE),))),
        (Rights(OFF, acl(PUB)), MinimalChange(ChangeKind.ENABLE_USER)),
        (Rights(OFF, None), MinimalChange(ChangeKind.ENABLE_USER, added=(entry(PUB_HERE),))),
        (Rights(OFF, acl(default=[NO_PUB, PUB])), MinimalChange(ChangeKind.ENABLE_USER, DEFAULT, (entry(NO_PUB),))),
        (Rights(User("u", (), UserType.SUPER, UserStatus.DISABLE), acl(NO_PUB)), MinimalChange(ChangeKind.ENABLE_USER)),
        (Rights(User("u", (), UserType.SUPER), None), MinimalChange(ChangeKind.MAKE_NORMAL)),
        (Rights(User("u", (), UserType.SUPER), acl(NO_PUB)), MinimalChange(ChangeKind.MAKE_NORMAL)),
        (Rights(User("u", (), UserType.SUPER), acl(PUB)), MinimalChange(ChangeKind.DISABLE_USER)),
    ],
)
def test_a_change_of_the_user_is_a_change_of_its_own(rights, turn):
    """The change also has the entries that are required after it."""
    found = find_minimal_change("u", ask(), rights)

    assert found == turn
    assert found.size == 1 + len(turn.added) + len(turn.removed)


def test_a_created_user_gets_the_policies_of_its_name():
    """A created user gets the policies of its name."""
    assert find_minimal_change("u", ask(), None, acl(PUB)) == MinimalChange(ChangeKind.CREATE_USER)
    assert find_minimal_change("u", ask(), None, acl(NO_PUB, TOPIC)) == MinimalChange(
        ChangeKind.CREATE_USER, removed=(entry(NO_PUB),)
    )


def test_no_change_of_the_user_allows_a_request_without_a_name():
    """Creating or enabling a user leaves the request denied, but a Super user is allowed."""
    assert find_minimal_change("u", ask(name=" "), None) is None
    assert find_minimal_change("u", ask(name=" "), Rights(OFF, acl(PUB))) is None
    disabled = User("u", (), UserType.SUPER, UserStatus.DISABLE)
    assert find_minimal_change("u", ask(name=" "), Rights(disabled, None)) == MinimalChange(ChangeKind.ENABLE_USER)


def test_a_change_affects_nothing_else():
    """Every equal entry is removed, the other policy stays, and added entries come last."""
    given = acl(PUB, TOPIC, PUB, SUB, default=[PUB, SUB])

    turn = MinimalChange(ChangeKind.CHANGE_ENTRIES, CUSTOM, (entry(PUB),), (entry(NO_PUB), entry(NO_SUB)))
    assert apply_to_acl(given, turn) == acl(TOPIC, SUB, NO_PUB, NO_SUB, default=[PUB, SUB])
    turn = MinimalChange(ChangeKind.CHANGE_ENTRIES, DEFAULT, (entry(SUB),))
    assert apply_to_acl(given, turn) == acl(PUB, TOPIC, PUB, SUB, default=[PUB])


ON, SUPER = User("u", ()), User("u", (), UserType.SUPER)
SUPER_OFF = User("u", (), UserType.SUPER, UserStatus.DISABLE)


@pytest.mark.parametrize(
    ("user", "step", "expected"),
    [
        (None, ChangeKind.CREATE_USER, ON),
        (OFF, ChangeKind.ENABLE_USER, ON),
        (SUPER_OFF, ChangeKind.ENABLE_USER, SUPER),
        (SUPER, ChangeKind.MAKE_NORMAL, ON),
        (SUPER, ChangeKind.DISABLE_USER, SUPER_OFF),
        (ON, ChangeKind.CHANGE_ENTRIES, ON),
        (SUPER, ChangeKind.CHANGE_ENTRIES, SUPER),
        (SUPER_OFF, ChangeKind.CHANGE_ENTRIES, SUPER_OFF),
    ],
)
def test_a_user_after_a_change(user, step, expected):
    """A change of the user affects only the named property."""
    assert apply_to_user("u", user, MinimalChange(step)) == expected


def test_kinds_of_changes_are_keywords():
    """JSON explanations contain these keywords, so a change must be noticed."""
    assert [str(step) for step in ChangeKind] == [
        "create-user",
        "enable-user",
        "make-normal",
        "disable-user",
        "change-entries",
    ]
