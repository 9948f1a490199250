"""Users, policies and requests with few names, so that entries often match requests."""

import itertools
import os
import random

from hypothesis import settings
from hypothesis import strategies as st

from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest

EXAMPLES = int(os.environ.get("MQGUARD_EXAMPLES", "100"))
"""How many worlds hypothesis makes for each property."""
REQUESTS_PER_WORLD = 40
quick = settings(max_examples=EXAMPLES, deadline=None)

NAMES = ("a", "ab", "aba", "abab", "b", "ba", "é", "%RETRY%a", "A", "a%a", "a%ab", "ab%a", "b%a", "a%b%a")
PREFIXES = ("a", "ab", "aba", "b", "é", "%RETRY%", "a%", "a%a", "ab%")
TYPES = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER, ResourceType.NAMESPACE)
ADDRESSES = tuple(
    parse_address(text) if text else None
    for text in ("", "10.0.0.1", "10.0.0.2", "10.1.0.0", "0.0.0.1", "::1", "2001:db8::1", "::ffff:10.0.0.1", "fe80::1")
)
SOURCES = tuple(
    map(
        Source.parse,
        ("10.0.0.1", "10.0.0.0/31", "10.0.0.0/8", "0.0.0.0/0", "::1", "::/0", "2001:db8::/32", "::ffff:10.0.0.1"),
    )
)

SETS = tuple(frozenset(actions) for size in range(len(Action) + 1) for actions in itertools.combinations(Action, size))
"""Every set of actions, none and all included."""


def acl_of(custom: tuple[Entry, ...], default: tuple[Entry, ...] = ()) -> Acl:
    """Return the policies of user `u` with these entries."""
    made = [Policy(PolicyType.CUSTOM, custom)] if custom else []
    return Acl(Subject("u"), (*made, *([Policy(PolicyType.DEFAULT, default)] if default else [])))


resources = st.one_of(
    st.just(Resource(ResourceType.ANY, "", Pattern.ANY)),
    st.builds(Resource, st.sampled_from(TYPES), st.just(""), st.just(Pattern.ANY)),
    st.builds(Resource, st.sampled_from(TYPES), st.sampled_from(NAMES), st.just(Pattern.LITERAL)),
    st.builds(Resource, st.sampled_from(TYPES), st.sampled_from(PREFIXES), st.just(Pattern.PREFIXED)),
)
entries = st.builds(
    Entry,
    resources,
    st.lists(st.sampled_from(Action), min_size=1, max_size=3).map(tuple),
    st.lists(st.sampled_from(SOURCES), max_size=2).map(tuple),
    st.sampled_from(Decision),
)
policies = st.lists(entries, max_size=12).map(tuple)
acls = st.builds(
    acl_of,
    policies,
    policies,
)
users = st.builds(
    User,
    st.just("u"),
    st.just(()),
    st.sampled_from((UserType.NORMAL,) * 9 + (UserType.SUPER,)),
    st.sampled_from((UserStatus.ENABLE,) * 9 + (UserStatus.DISABLE,)),
)
requests = st.builds(
    AccessRequest,
    st.sampled_from((*TYPES, TYPES[0], TYPES[0], ResourceType.ANY)),
    st.sampled_from((*NAMES, "", " ", "zz", "a*")),
    st.frozensets(st.sampled_from(Action), max_size=3),
    st.sampled_from(ADDRESSES),
)
request_lists = st.lists(requests, min_size=REQUESTS_PER_WORLD, max_size=REQUESTS_PER_WORLD)


def small_entries() -> list[tuple[PolicyType, Entry]]:
    """Return every entry of a small universe: one of each pattern and type that can match `small_requests`."""
    keys = ("Topic:a", "Topic:ab", "Topic:a*", "Topic:ab*", "Topic:*", "Group:*", "*", "Namespace:a", "Namespace:*")
    actions = ((Action.PUB,), (Action.SUB,), (Action.ALL,))
    sources = ((), (Source.parse("10.0.0.0/8"),))
    made = itertools.product(map(Resource.parse, keys), actions, sources, Decision)
    return [(kind, Entry(*parts)) for parts in made for kind in PolicyType]


def small_requests() -> list[AccessRequest]:
    """Return every request of the small universe."""
    asked = (frozenset({Action.PUB}), frozenset({Action.SUB}), frozenset({Action.PUB, Action.SUB}))
    addresses = (parse_address("10.0.0.1"), parse_address("11.0.0.1"))
    named = itertools.product((ResourceType.TOPIC,), ("a", "ab", "c", "a%c"), asked, addresses)
    return [AccessRequest(*parts) for parts in named]


def random_world(chosen: random.Random) -> tuple[User, Acl]:
    """Return a user and policies like those above, many times faster than hypothesis creates them."""
    status = UserStatus.DISABLE if chosen.random() < 0.02 else UserStatus.ENABLE
    user = User("u", (), UserType.SUPER if chosen.random() < 0.02 else UserType.NORMAL, status)
    custom = tuple(_random_entry(chosen) for _ in range(chosen.choice((0, 1, 2, 4, 8, 16))))
    default = tuple(_random_entry(chosen) for _ in range(chosen.choice((0, 0, 1, 2, 4))))
    return user, acl_of(custom, default)


def random_question(chosen: random.Random) -> AccessRequest:
    """Return a resource and an address like those above, with any of the sets of actions."""
    kind = chosen.choice((*TYPES, ResourceType.TOPIC, ResourceType.TOPIC))
    return AccessRequest(kind, chosen.choice((*NAMES, "zz", " ")), chosen.choice(SETS), chosen.choice(ADDRESSES))


def _random_entry(chosen: random.Random) -> Entry:
    pattern = chosen.choice(tuple(Pattern))
    name = {Pattern.ANY: ("",), Pattern.LITERAL: NAMES, Pattern.PREFIXED: PREFIXES}[pattern]
    kind = ResourceType.ANY if pattern is Pattern.ANY and chosen.random() < 0.4 else chosen.choice(TYPES)
    resource = Resource(kind, chosen.choice(name), pattern)
    actions = tuple(chosen.choices(tuple(Action), k=chosen.choice((1, 1, 2, 3))))
    sources = tuple(chosen.choices(SOURCES, k=chosen.choice((0, 0, 0, 1, 2))))
    return Entry(resource, actions, sources, chosen.choice(tuple(Decision)))
