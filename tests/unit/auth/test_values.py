"""Actions, resources, sources, subjects, users, policies: parsing, rejection and printing."""

import copy
import ipaddress
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.decide import decide
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType, rank
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import LiveSecret, Secret, Subject, SubjectType, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest
from mqguard.model.text import is_blank


@pytest.mark.parametrize("kind", [Action, Decision, PolicyType, UserType, UserStatus, SubjectType])
def test_only_known_words_are_accepted_in_any_letter_case(kind):
    for word in kind:
        for text in (word.value, word.value.upper(), word.value.lower(), word.value.swapcase()):
            assert kind.parse(text) is word
        for text in (f" {word.value}", f"{word.value}\n", word.value[:-1], f"{word.value}s", ""):
            with pytest.raises(PolicyInvalid) as caught:
                kind.parse(text)
            assert f"`{text}`" in str(caught.value)


@pytest.mark.parametrize("text", ["Any", "Unknown", "\u017fub", "Publ\u0131sh", "All,Pub"])
def test_words_that_no_entry_can_have_are_not_actions(text):
    with pytest.raises(PolicyInvalid, match="write one of All, Pub, Sub, Create, Update, Delete, Get, List"):
        Action.parse(text)


@pytest.mark.parametrize(
    ("key", "resource", "again"),
    [
        ("*", Resource(ResourceType.ANY, "", Pattern.ANY), "*"),
        ("Topic:abc", Resource(ResourceType.TOPIC, "abc", Pattern.LITERAL), "Topic:abc"),
        ("TOPIC:abc", Resource(ResourceType.TOPIC, "abc", Pattern.LITERAL), "Topic:abc"),
        ("group:a*", Resource(ResourceType.GROUP, "a", Pattern.PREFIXED), "Group:a*"),
        ("Cluster:*", Resource(ResourceType.CLUSTER, "", Pattern.ANY), "Cluster:*"),
        ("Namespace:n:s ", Resource(ResourceType.NAMESPACE, "n:s ", Pattern.LITERAL), "Namespace:n:s "),
        ("Group:%RETRY%g", Resource(ResourceType.GROUP, "%RETRY%g", Pattern.LITERAL), "Group:%RETRY%g"),
    ],
)
def test_resources_are_parsed_and_printed_again(key, resource, again):
    assert Resource.parse(key) == resource
    assert resource.key == again
    assert Resource.parse(again) == resource


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "unknown resource type"),
        ("**", "unknown resource type"),
        ("Foo:x", "unknown resource type"),
        ("Any:x", "unknown resource type"),
        ("*:x", "unknown resource type"),
        ("Unknown:x", "unknown resource type"),
        (" Topic:x", "unknown resource type"),
        ("Top\u0131c:x", "unknown resource type"),
        ("Topic", "has no name"),
        ("Topic:", "has no name"),
        ("Topic:a*b", "a `*` before its end"),
        ("Topic:a*b*", "a `*` before its end"),
        ("Topic:**", "a `*` before its end"),
        ("Topic:*a", "a `*` before its end"),
    ],
)
def test_an_invalid_resource_is_rejected_with_the_reason(key, why):
    with pytest.raises(PolicyInvalid, match=re.escape(why)) as caught:
        Resource.parse(key)
    assert f"`{key}`" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        (ResourceType.TOPIC, "", Pattern.LITERAL),
        (ResourceType.TOPIC, "", Pattern.PREFIXED),
        (ResourceType.TOPIC, "x", Pattern.ANY),
        (ResourceType.ANY, "x", Pattern.LITERAL),
        (ResourceType.ANY, "x", Pattern.PREFIXED),
        (ResourceType.TOPIC, "a*", Pattern.LITERAL),
        (ResourceType.TOPIC, "a*b", Pattern.PREFIXED),
    ],
)
def test_an_invalid_resource_cannot_be_created(parts):
    with pytest.raises(PolicyInvalid):
        Resource(*parts)


@given(st.text())
def test_any_text_is_a_resource_that_is_printed_again_or_an_error(key):
    try:
        found = Resource.parse(key)
    except PolicyInvalid:
        return
    assert Resource.parse(found.key) == found


@pytest.mark.parametrize(
    ("key", "kind", "name", "covers"),
    [
        ("*", ResourceType.GROUP, "x", True),
        ("Topic:*", ResourceType.TOPIC, "x", True),
        ("Topic:*", ResourceType.GROUP, "x", False),
        ("Topic:a", ResourceType.TOPIC, "a", True),
        ("Topic:a", ResourceType.TOPIC, "ab", False),
        ("Topic:a*", ResourceType.TOPIC, "ab", True),
        ("Topic:a*", ResourceType.TOPIC, "a", True),
        ("Topic:a*", ResourceType.TOPIC, "ba", False),
    ],
)
def test_an_entry_covers_the_names_of_its_resource(key, kind, name, covers):
    assert Resource.parse(key).covers(kind, name) is covers


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("2001:db8::ffff/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.1.2.3/8", "10.0.0.0/8"),
        ("::ffff:10.1.2.3/32", "10.1.2.3/32"),
        ("::ffff:10.1.2.3/120", "10.1.2.0/24"),
        ("::ffff:10.1.2.3/96", "0.0.0.0/0"),
        ("::1.2.3.4", "::102:304/128"),
    ],
)
def test_sources_are_parsed_and_printed_as_written(text, network):
    found = Source.parse(text)
    assert found.network == ipaddress.ip_network(network)
    assert found.text == text


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "*", "localhost", "10.0.0", "10.0.0.1.2", "256.1.1.1", "01.2.3.4", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/",
        "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8/", "10.0.0.0/255.0.0.0", "192.168.*.*", "192.168.0.1-20", "192.168.1.{1,2}",
        "[::1]", "fe80::1%eth0", "::1/129", "::ffff:1.2.3.4/33", "::ffff:1.2.3.4/64", "::ffff:1.2.3.4/95", "/8", "1/8", "1.2.3.4/\u0668", "\u0661.2.3.4", "10.0.0.1 ",
    ],
)  # fmt: skip
def test_an_invalid_source_is_rejected(text):
    with pytest.raises(PolicyInvalid, match="is not a valid source address: write one address or a CIDR range"):
        Source.parse(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("[::ffff:10.1.2.3]", "10.1.2.3"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("fe80::1%2", "fe80::1"),
        ("[10.1.2.3]", None),
        ("", None),
        ("1", None),
        ("10.1.2.3/32", None),
        ("host", None),
        ("[]", None),
        ("[::1", None),
    ],
)
def test_addresses_of_requests_are_parsed_or_none(text, address):
    assert parse_address(text) == (ipaddress.ip_address(address) if address else None)


@pytest.mark.parametrize(
    ("key", "name"), [("User:alice", "alice"), ("user:a:b", "a:b"), ("USER: x", " x"), ("User:", ""), ("User", "")]
)
def test_subjects_are_read(key, name):
    assert Subject.parse(key) == Subject(name)
    assert Subject(name).key == f"User:{name}"


@pytest.mark.parametrize("key", ["", "alice", "Group:g", " User:a", "Users:a", "U\u017fer:a", ":a"])
def test_an_invalid_subject_is_rejected(key):
    with pytest.raises(PolicyInvalid, match="is not a valid subject: write `User:name`"):
        Subject.parse(key)


def test_a_secret_is_never_shown():
    secret = Secret("hunter2")
    user = User("alice", (LiveSecret(secret, 5),))
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        repr(user),
        str(user),
        repr([user]),
        repr(LiveSecret(secret)),
    ):
        assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
    assert copy.copy(secret) == secret == Secret("hunter2") != Secret("x")
    assert secret != "hunter2"
    assert repr(secret) == str(secret) == "Secret(…)"
    assert len({secret, Secret("hunter2")}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("s", "t"), ("s", "ss"), ("\ud800", "\udc00"), ("\ud800", "?"), ("é", "e\u0301")]
)
def test_secrets_are_equal_as_texts_whatever_they_hold(one, other):
    assert Secret(one).equals(Secret(one))
    assert not Secret(one).equals(Secret(other))


def test_ambiguous_entries_and_policies_cannot_be_created():
    topic = Resource.parse("Topic:t")
    with pytest.raises(PolicyInvalid, match="the entry for `Topic:t` has no actions"):
        Entry(topic, (), (), Decision.ALLOW)
    policy = Policy(PolicyType.CUSTOM, (Entry(topic, (Action.PUB,), (), Decision.ALLOW),))
    with pytest.raises(PolicyInvalid, match="repeat a type"):
        Acl(Subject("a"), (policy, policy))
    assert Acl(Subject("a"), (policy,)).entries(PolicyType.DEFAULT) == ()


@pytest.mark.parametrize(
    ("actions", "sources", "action", "address", "of", "there"),
    [
        ("Pub", "", "Pub", "10.0.0.1", True, True),
        ("Pub", "", "Sub", "", False, True),
        ("All", "10.0.0.0/8", "Sub", "10.0.0.1", True, True),
        ("All", "10.0.0.0/8", "All", "11.0.0.1", True, False),
        ("Pub,Sub", "::/0", "Sub", "10.0.0.1", True, False),
        ("Pub", "::/0", "All", "", False, False),
    ],
)
def test_an_entry_matches_its_actions_and_sources(actions, sources, action, address, of, there):
    entry = Entry(
        Resource.parse("*"),
        tuple(map(Action.parse, actions.split(","))),
        tuple(map(Source.parse, filter(None, sources.split(",")))),
        Decision.ALLOW,
    )
    assert entry.matches_action(Action.parse(action)) is of
    rights = Rights(User("u", ()), Acl(Subject("u"), (Policy(PolicyType.CUSTOM, (entry,)),)))
    request = AccessRequest(ResourceType.TOPIC, "t", frozenset({entry.actions[0]}), parse_address(address))
    assert decide(request, rights).allowed is there


def test_precedence_orders_entries_from_first_to_last():
    first_to_last = [
        ("Topic:abc", Decision.DENY), ("Topic:abc", Decision.ALLOW), ("Topic:abc*", Decision.DENY), ("Topic:abd*", Decision.ALLOW),
        ("Topic:a*", Decision.DENY), ("Group:b*", Decision.ALLOW), ("Topic:*", Decision.DENY), ("Group:*", Decision.ALLOW),
        ("*", Decision.DENY), ("*", Decision.ALLOW),
    ]  # fmt: skip
    ranks = [rank(Entry(Resource.parse(key), (Action.PUB,), (), decision)) for key, decision in first_to_last]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_each_character_is_blank_as_in_java():
    """The blank characters are those of `Character.isWhitespace`: separators that may break a line, and nine controls."""
    for code in range(0x10000):
        char = chr(code)
        breaks = unicodedata.category(char) in ("Zs", "Zl", "Zp") and char not in "\u00a0\u2007\u202f"
        assert is_blank(char) is (breaks or char in "\t\n\v\f\r\x1c\x1d\x1e\x1f"), hex(code)


@pytest.mark.parametrize("text", [None, "", " ", "\t\n\x1c", "\u2003\u3000"])
def test_blank_texts_are_those_of_java(text):
    assert is_blank(text)


@pytest.mark.parametrize("text", ["a", " a ", "\u00a0", "\u0085", "\u2007", "\u202f", "\ufeff", "\0"])
def test_the_rest_is_not_blank(text):
    assert not is_blank(text)
