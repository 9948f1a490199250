"""Suggested commands make exactly the explained change."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.admin.suggestions import change_commands, route_commands
from mqguard.auth.policy import Action, Decision, Entry
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.cli.acl import add, remove

NAMES = st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="*,"), min_size=1).filter(
    lambda name: name == name.strip()
)
ENTRIES = st.builds(
    Entry,
    NAMES.map(lambda name: Resource.parse(f"Cluster:{name}")) | st.just(Resource.parse("*")),
    st.lists(st.sampled_from(Action), min_size=1, unique=True).map(tuple),
    st.lists(st.sampled_from(["10.0.0.0/8", "::1"]), unique=True).map(lambda all_: tuple(map(Source.parse, all_))),
    st.sampled_from(Decision),
)


def parsed(line, command):
    """Return subject, and the options of a suggested command, as click parses them."""
    words = shlex.split(line)
    assert words[:2] == ["mqguard", "acl"]
    values = command.make_context("acl", words[3:]).params
    return {name: values[name] for name in ("subject", "resources", "actions", "sources", "decision", "kind")}


@given(NAMES, ENTRIES, st.sampled_from(["Custom", "Default"]))
def test_the_command_names_exactly_the_entry(user, entry, policy):
    change = {"kind": "change-entries", "policy": policy, "remove": [entry.text], "add": [entry.text]}
    removing, adding = change_commands(user, change)
    expected = {
        "subject": f"User:{user}",
        "resources": (entry.resource.key,),
        "actions": (",".join(action.value for action in entry.actions),),
        "decision": "Deny" if entry.decision is Decision.DENY else "Allow",
        "kind": policy,
    }
    sources = ",".join(source.text for source in entry.sources)
    assert parsed(adding, add) == {**expected, "sources": (sources,) if sources else ()}
    found = parsed(removing, remove)
    assert found["decision"] in (expected["decision"], None)
    assert {**found, "decision": expected["decision"]} == {**expected, "sources": (sources or "any",)}


@pytest.mark.parametrize(
    ("step", "command"),
    [
        ("create-user", "mqguard user create 'o''\"'\"'brien' -n 'a b'"),
        ("enable-user", "mqguard user update 'o''\"'\"'brien' --status enable -n 'a b'"),
        ("make-normal", "mqguard user update 'o''\"'\"'brien' --type Normal -n 'a b'"),
    ],
)
def test_steps_about_users(step, command):
    assert change_commands("o'brien", {"kind": step, "policy": "Custom"}, ["-n", "a b"]) == [
        command.replace("o''\"'\"'brien", "o'\"'\"'brien")
    ]


def test_a_denied_route_suggests_the_tasks():
    needs = [{"resource": "Topic:orders", "verdict": "Deny", "actions": ["Pub", "Sub", "Get"]}]
    assert route_commands("a", needs) == [
        "mqguard acl add User:a --producer orders",
        "mqguard acl add User:a --consumer orders --group GROUP",
    ]
