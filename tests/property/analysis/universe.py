"""A small universe: entries over few names and addresses, and every request that they distinguish."""

from hypothesis import settings
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import REQUEST_TYPES, Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest


def effort(percent):
    """Return settings for a test of the whole universe: a part of the examples of the profile."""
    return settings(max_examples=settings.default.max_examples * percent // 100)


# Entries name only `a` and `b`, at most two letters: `c` represents every other letter, a third letter all that follow.
NAMES = ["a", "b", "c", "aa", "ab", "ac", "ba", "bb", "bc", "aac", "aba", "abc", "bac", "ca"]
NAMES += ["a%", "a%a", "a%b", "a%c", "aa%a", "ab%c", "aac%c", "b%a", "ba%b", "c%a", "%a", "%c", "a%aa", "a%ac"]
KINDS = [ResourceType.TOPIC, ResourceType.GROUP]
ADDRESSES = [
    None,
    *(parse_address(f"10.0.0.{n}") for n in range(6)),
    parse_address("11.0.0.0"),
    *(parse_address(f"2001:db8::{n}") for n in range(4)),
    parse_address("::1"),
]
ACTIONS = [Action.PUB, Action.SUB, Action.UPDATE]

_SOURCES = [
    "10.0.0.0/30",
    "10.0.0.1",
    "10.0.0.2/31",
    "10.0.0.5",
    "10.0.0.0/8",
    "2001:db8::/127",
    "2001:db8::1",
    "0.0.0.0/0",
    "::/0",
]

resources = st.one_of(
    st.just(Resource.parse("*")),
    st.builds(
        lambda kind, name: Resource.parse(f"{kind.value}:{name}"),
        st.sampled_from(KINDS),
        st.sampled_from(["a", "b", "aa", "ab", "a*", "b*", "aa*", "ab*", "ba", "*", "a%*", "a%a", "a%a*", "%*"]),
    ),
    st.sampled_from(
        [*map(Resource.parse, ("Namespace:a", "Namespace:b", "Namespace:a*", "Namespace:aa*", "Namespace:*"))]
    ),
)
sources = st.lists(st.sampled_from([Source.parse(text) for text in _SOURCES]), max_size=2).map(tuple)
entries = st.builds(
    Entry,
    resources,
    st.one_of(
        st.just((Action.ALL,)), st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=2, unique=True).map(tuple)
    ),
    st.one_of(st.just(()), sources),
    st.sampled_from(Decision),
)


def acls(name: str = "u", *, most: int = 5) -> st.SearchStrategy[Acl]:
    """Return policies of one subject."""
    custom = st.lists(entries, max_size=most)
    default = st.lists(entries, max_size=most - 2)
    return st.builds(lambda c, d: acl(c, d, name), custom, default)


def acl(custom, default=(), name: str = "u") -> Acl:
    """Return policies from their entries."""
    return Acl(Subject(name), (Policy(PolicyType.CUSTOM, tuple(custom)), Policy(PolicyType.DEFAULT, tuple(default))))


users = st.builds(
    lambda kind, status: User("u", (), kind, status), st.sampled_from(UserType), st.sampled_from(UserStatus)
)
directories = st.builds(
    lambda user, policies: AccessState.of([user] if user else [], [policies] if policies else []),
    st.one_of(st.none(), st.just(User("u", ())), st.just(User("u", ())), users),
    st.one_of(st.none(), acls(), acls()),
)


def requests():
    """Yield every request of the universe."""
    for kind in REQUEST_TYPES:
        names = NAMES if kind in KINDS else NAMES[:1]
        for name in names:
            for action in (*ACTIONS, Action.GET):
                for address in ADDRESSES:
                    yield AccessRequest(kind, name, frozenset({action}), address)


REQUESTS = tuple(requests())
assert set(ACTIONS) < set(REQUEST_ACTIONS)
