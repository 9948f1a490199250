"""Excess rights over every combination of a few names and address ranges."""

import ipaddress
import itertools

import pytest

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.escalation import Escalation, find_escalation
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import REQUEST_TYPES, Pattern, Resource, ResourceType
from mqguard.auth.source import Source
from mqguard.auth.user import Subject

KEYS = ("Topic:*", "Topic:0*", "Topic:00*", "Topic:1*", "Topic:0", "Topic:1", "Topic:00", "Topic:01", "Topic:010")
NAMES = tuple("".join(found) for size in range(1, 5) for found in itertools.product("012", repeat=size))
PUB = (Action.PUB,)


def acl(*entries, default=()):
    policies = (Policy(PolicyType.CUSTOM, tuple(entries)), Policy(PolicyType.DEFAULT, tuple(default)))
    return Acl(Subject("u"), policies)


def allow(key, *sources, actions=PUB):
    return Entry(Resource.parse(key), actions, tuple(map(Source.parse, sources)), Decision.ALLOW)


def deny(key, *sources, actions=PUB):
    return Entry(Resource.parse(key), actions, tuple(map(Source.parse, sources)), Decision.DENY)


def covered(key):
    resource = Resource.parse(key)
    return frozenset(name for name in NAMES if resource.covers(ResourceType.TOPIC, name))


COVERED = {key: covered(key) for key in KEYS}


def pairs():
    """Yield policies of an Allow and at most one Deny, and the names that they allow."""
    found = []
    for allowed, denied in itertools.product(KEYS, (None, *KEYS)):
        names = COVERED[allowed]
        # Of two resources the one that covers less comes first, and Deny of two that are the same.
        if denied is not None and len(COVERED[denied]) <= len(names):
            names -= COVERED[denied]
        found.append((acl(allow(allowed), *([deny(denied)] if denied else [])), names))
    return found


def test_one_name_of_each_kind_represents_all():
    """Each prefix has a representative name outside all literals and longer prefixes."""
    one_entry = [found for found in pairs() if len(found[0].entries(PolicyType.CUSTOM)) == 1]
    cases = [*itertools.product(one_entry, pairs()), *itertools.product(pairs(), one_entry)]
    for (new, allowed), (held, known) in cases:
        excess = find_escalation(new, held)
        assert (excess is not None) is bool(allowed - known), (new, held)
        if excess is not None:
            assert (excess.action, excess.address) == (Action.PUB, None)
            assert COVERED[excess.resource.key] & (allowed - known), (new, held)


def test_a_prefix_of_which_every_short_name_is_taken():
    """A representative name is found, however many names are taken."""
    letters = [chr(code) for code in range(0x30, 0x130)]
    held = acl(*(allow(f"Topic:{letter}") for letter in letters), *(allow(f"Topic:a{letter}*") for letter in letters))

    assert find_escalation(acl(allow("Topic:*")), held) == Escalation(Action.PUB, Resource.parse("Topic:*"), None)
    assert find_escalation(acl(allow("Topic:a*")), held) == Escalation(Action.PUB, Resource.parse("Topic:a*"), None)
    assert find_escalation(acl(allow("Topic:z")), held) is None


LOWEST4, HIGHEST4 = ipaddress.ip_network("0.0.0.0/30"), ipaddress.ip_network("255.255.255.252/30")
LOWEST6 = ipaddress.ip_network("::/126")
HIGHEST6 = ipaddress.ip_network("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126")


@pytest.mark.parametrize("network", [LOWEST4, HIGHEST4, LOWEST6, HIGHEST6])
def test_one_address_for_each_end_of_a_range_represents_all(network):
    """Every range of a few addresses is compared with every two others, up to both ends of a family."""
    parts = [part for bits in range(3) for part in network.subnets(prefixlen_diff=bits)]
    for new, first, second in itertools.product(parts, parts, parts):
        if first > second:
            continue
        over = set(new) - set(first) - set(second)
        excess = find_escalation(acl(allow("Topic:a", str(new))), acl(allow("Topic:a", str(first), str(second))))
        assert (excess is not None) is bool(over)
        assert excess is None or excess.address in over
        apart = find_escalation(
            acl(allow("Topic:a", str(new)), deny("Topic:a", str(second))), acl(allow("Topic:a", str(first)))
        )
        assert (apart is not None) is bool(over)
        assert apart is None or apart.address in over


def test_no_range_includes_the_unknown_address():
    """Ranges of every address of both families do not include the unknown address."""
    everywhere = allow("Topic:a", "0.0.0.0/0", "::/0")

    excess = find_escalation(acl(allow("Topic:a")), acl(everywhere))
    assert excess == Escalation(Action.PUB, Resource.parse("Topic:a"), None)
    assert find_escalation(acl(everywhere), acl(allow("Topic:a"))) is None


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.ALL])
def test_each_action_counts(action):
    """`All` is exactly the actions of requests."""
    others = tuple(other for other in Action if other not in (action, Action.ALL))
    one, rest, every = (allow("Topic:a", actions=found) for found in ((action,), others, (Action.ALL,)))

    assert find_escalation(acl(one), acl(rest)) == Escalation(action, Resource.parse("Topic:a"), None)
    assert find_escalation(acl(every), acl(rest)) == Escalation(action, Resource.parse("Topic:a"), None)
    assert find_escalation(acl(every), acl(one, rest)) is None
    assert find_escalation(acl(every), acl(one), acl(rest)) is None
    denied = deny("Topic:a", actions=(action,))
    assert find_escalation(acl(every, denied), acl(rest)) is None
    assert find_escalation(acl(every), acl(every, denied)) == Escalation(action, Resource.parse("Topic:a"), None)


def test_default_counts_if_no_custom_entry_applies():
    """Removing a Custom entry can add a right, because Default entries then apply."""
    kept_silent = acl(deny("Topic:a"), default=[allow("Topic:*")])

    excess = find_escalation(acl(default=[allow("Topic:*")]), kept_silent)
    assert excess == Escalation(Action.PUB, Resource.parse("Topic:a"), None)
    assert find_escalation(kept_silent, acl(default=[allow("Topic:*")])) is None
    # The same entry in the other policy is another right.
    moved = find_escalation(
        acl(allow("Topic:a"), default=[deny("Topic:*")]), acl(deny("Topic:*"), default=[allow("Topic:a")])
    )
    assert moved == Escalation(Action.PUB, Resource.parse("Topic:a"), None)


def test_every_type_is_compared():
    """An entry for `*` exceeds rights on all types but one."""
    kinds = REQUEST_TYPES
    for missing in kinds:
        held = acl(*(allow(f"{kind.value}:*") for kind in kinds if kind is not missing))
        assert find_escalation(acl(allow("*")), held) == Escalation(
            Action.PUB, Resource(missing, "", Pattern.ANY), None
        )
    assert find_escalation(acl(allow("*")), acl(*(allow(f"{kind.value}:*") for kind in kinds))) is None


def test_no_policies_grant_nothing_and_hold_nothing():
    assert find_escalation(None) is None
    assert find_escalation(None, acl(allow("*"))) is None
    assert find_escalation(acl(), acl()) is None
    assert find_escalation(acl(deny("*"))) is None
    assert find_escalation(acl(allow("Topic:a"))) == Escalation(Action.PUB, Resource.parse("Topic:a"), None)
    assert find_escalation(acl(allow("Topic:a")), None) == Escalation(Action.PUB, Resource.parse("Topic:a"), None)


def addresses(start, count):
    """Return every second address, so that no two are adjacent."""
    return [str(ipaddress.IPv4Address(start + 2 * number)) for number in range(count)]


def prefixes(count):
    """Return prefixes of as many lengths."""
    return ["p" * number + "*" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("new", "held"),
    [
        # Addresses times names.
        ([f"Topic:{number}" for number in range(600)], {"Topic:*": ["", *addresses(0, 50)]}),
        # Entries held times addresses.
        (["Topic:a"], {"Topic:a": addresses(0, 2500)}),
        # Names times lengths.
        ([f"Topic:{number}" for number in range(2500)], {f"Topic:{prefix}": [""] for prefix in prefixes(900)}),
    ],
)
def test_too_large_policies_are_rejected_at_once(new, held):
    """A comparison that would take long is rejected."""
    known = acl(*(allow(key, *([one] if one else [])) for key, sources in held.items() for one in sources))
    with pytest.raises(
        MetadataRejected, match="too large to compare with the rights of their author: ask a Super user"
    ):
        find_escalation(acl(*map(allow, new)), known)


@pytest.mark.parametrize(
    ("granted", "held", "found"),
    [
        ("Namespace:n", "Topic:n%*", "Group:n%*"),
        ("Topic:n%a", "Namespace:n", None),
        ("Topic:n*", "Namespace:n", "Topic:n*"),
        ("Namespace:n", "Namespace:n*", None),
        ("Namespace:*", "Namespace:n*", "Namespace:*"),
        ("Topic:nx%*", "Namespace:n*", None),
        ("Namespace:n*", "Topic:n*", "Namespace:n*"),
    ],
)
def test_a_namespace_is_compared_by_its_topics_and_groups(granted, held, found):
    """A user that holds them may grant the namespace, and the other way round."""
    escalation = find_escalation(acl(allow(granted)), acl(allow(held)))

    assert (None if escalation is None else escalation.resource.key) == found
