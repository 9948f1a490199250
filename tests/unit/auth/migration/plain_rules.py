"""ACL 1.0's rules, written from its description alone, and accounts to test them with."""

from hypothesis import strategies as st

from mqguard.auth.migration.acl_v1 import AclV1Version
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType

KNOWN = {"PUB": "P", "SUB": "S", "PUB|SUB": "PS", "SUB|PUB": "PS"}

names = st.sampled_from(
    [
        "a",
        "b",
        "%RETRY%a",
        "%DLQ%a",
        "%DLQ%c",
        "a*",
        " a ",
        "",
        "other0",
        "%RETRY%",
        "%DLQ%",
        "%DLQ%other0",
        "SCHEDULE_TOPIC_XXXX",
    ]
)
permissions = st.sampled_from(["PUB", "SUB", "PUB|SUB", "SUB|PUB", "DENY", "ANY", "pub", " SUB"])
items = st.lists(st.builds("{}={}".format, names, permissions), max_size=4)
defaults = st.one_of(st.none(), permissions)


VERSIONS = st.sampled_from(
    [AclV1Version(*version) for version in ((4, 6, 0), (4, 9, 8), (5, 1, 0), (5, 1, 1), (5, 3, 2))]
)


def allows(admin, topics, groups, topic_default, group_default, kind, name, action, version=None):
    """Return True if 1.0 allows the action to an account with these lines; without a version, if all of them do."""
    if admin and version is not None and version >= AclV1Version(5, 1, 1):
        return True
    if action in (Action.GET, Action.LIST):
        return True
    if action not in (Action.PUB, Action.SUB) or kind is ResourceType.CLUSTER:
        return admin
    table = {}
    for prefix, written in (("%RETRY%", groups), ("", topics)):
        for item in written:
            left, _, right = item.partition("=")
            table[prefix + left.strip()] = KNOWN.get(right.strip(), "")
    if admin and not table:
        return True
    default = group_default if kind is ResourceType.GROUP else topic_default
    key = "%RETRY%" + name if kind is ResourceType.GROUP else name
    return action.value[0] in table.get(key, KNOWN.get((default or "").strip(), ""))


def account_text(admin, topics, groups, topic_default, group_default, white=None):
    """Return the account as a file. It begins in line 2, its topics in line 9, its groups after the last topic."""
    shown = {
        "secretKey": "12345678",
        "admin": str(admin).lower(),
        "defaultTopicPerm": topic_default,
        "defaultGroupPerm": group_default,
        "whiteRemoteAddress": white,
    }
    lines = ["accounts:", "- accessKey: account1"]
    lines += [f"  {key}:" if value is None else f"  {key}: '{value}'" for key, value in shown.items()]
    for key, written in (("topicPerms", topics), ("groupPerms", groups)):
        lines += [f"  {key}:", *(f"  - '{item}'" for item in written)]
    return "\n".join(lines) + "\n"
