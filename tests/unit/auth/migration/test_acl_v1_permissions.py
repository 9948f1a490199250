"""The items of an account as 1.0 parses them."""

import pytest

from mqguard.auth.migration.acl_v1 import items_of, parse_acl_v1
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType


@pytest.mark.parametrize(
    ("written", "key", "name", "actions", "known"),
    [
        ("a=PUB", "a", "a", "Pub", True),
        (" a = SUB ", "a", "a", "Sub", True),
        ("a==PUB", "a", "a", "Pub", True),
        ("=a=PUB=", "a", "a", "Pub", True),
        (" =DENY", "", "", "", True),
        ("a=pub", "a", "a", "", False),
        ("a", None, "a", "", False),
        ("a=", None, "a", "", False),
        ("=PUB", None, "PUB", "", False),
        ("a=b=PUB", None, "a", "", False),
        ("", None, "", "", False),
        ("=", None, "", "", False),
    ],
)
def test_an_item_is_a_name_and_a_permission(written, key, name, actions, known):
    """An item that 1.0 cannot split has no key and allows nothing. A group has the key of its retry topic."""
    text = f"accounts:\n- topicPerms: ['{written}']\n  groupPerms: ['{written}']\n"
    group, topic = items_of(parse_acl_v1("f.yml", text).accounts[0])

    allowed = {Action(word) for word in actions.split()}
    assert (topic.type, topic.key, topic.name, topic.permission, topic.known) == (
        *(ResourceType.TOPIC, key, name, allowed, known),
    )
    assert (group.type, group.name, group.permission, group.known) == (ResourceType.GROUP, name, allowed, known)
    assert group.key == (None if key is None else f"%RETRY%{key}")
