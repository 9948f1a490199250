"""ACL 1.0 files become users and policies that allow no more, and each change is reported with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.decide import decide
from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.acl_v1 import AclV1Permissions, AclV1Version, parse_acl_v1
from mqguard.auth.migration.conversion import DEFAULT_OPTIONS, MigrationOptions, NoteKind
from mqguard.auth.migration.migration import NOBODY, migrate, plan_migration
from mqguard.auth.policy import Action, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import Secret, User, UserType
from mqguard.auth.verdict import AccessRequest
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.property.analysis.universe import effort
from tests.unit.auth.migration.plain_rules import VERSIONS, allows

SHIPPED = """\
globalWhiteRemoteAddresses:
  - 10.10.103.*
  - 192.168.0.*

accounts:
  - accessKey: RocketMQ
    secretKey: 12345678
    whiteRemoteAddress:
    admin: false
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
    topicPerms:
      - topicA=DENY
      - topicB=PUB|SUB
      - topicC=SUB
    groupPerms:
      # the group should convert to retry topic
      - groupA=DENY
      - groupB=PUB|SUB
      - groupC=SUB

  - accessKey: rocketmq2
    secretKey: 00123456
    whiteRemoteAddress: 192.168.1.*
    # if it is admin, it could access all resources
    admin: true
"""


def planned(text, existing=NOBODY, options=DEFAULT_OPTIONS):
    return plan_migration([parse_acl_v1("plain_acl.yml", text)], existing, options)


def options_of(version=None, *, as_sources=False):
    known = None if version is None else AclV1Version.parse(version)
    return MigrationOptions(known, white_lists_as_sources=as_sources)


def entries(acl):
    return {policy.type: [entry.text for entry in policy.entries] for policy in acl.policies}


def account(**lines):
    shown = {"accessKey": "account1", "secretKey": "12345678", **lines}
    body = "".join(f"    {key}: {value}\n" for key, value in shown.items())
    return "accounts:\n  -\n" + body


def test_the_file_that_rocketmq_ships():
    """Items become Custom, defaults become Default, an admin without items becomes Super, secrets stay the same."""
    found = planned(SHIPPED)

    first, second = found.converted
    assert (first.user.name, first.user.type) == ("RocketMQ", UserType.NORMAL)
    assert entries(first.acl) == {
        PolicyType.CUSTOM: [
            "Deny All on Group:groupA from anywhere",
            "Allow Pub,Sub on Group:groupB from anywhere",
            "Allow Sub on Group:groupC from anywhere",
            "Deny All on Topic:topicA from anywhere",
            "Allow Pub,Sub on Topic:topicB from anywhere",
            "Allow Sub on Topic:topicC from anywhere",
        ],
        PolicyType.DEFAULT: ["Deny All on Topic:* from anywhere", "Allow Sub on Group:* from anywhere"],
    }
    assert (second.user.type, second.acl) == (UserType.SUPER, None)
    assert second.user.secrets[0].secret == Secret("00123456")
    assert [(note.kind, note.mark.line, note.account) for note in found.notes] == [
        (NoteKind.WHITE_LIST, 2, ""),
        (NoteKind.WHITE_LIST, 3, ""),
        (NoteKind.WHITE_LIST, 24, "rocketmq2"),
    ]
    assert [(d.account, d.resource, d.before, d.after, d.mark.line) for d in found.differences] == [
        ("", "everything, from `10.10.103.*` without an account", True, False, 2),
        ("", "everything, from `192.168.0.*` without an account", True, False, 3),
        ("RocketMQ", "every topic, group and cluster", True, False, 6),
        ("rocketmq2", "everything, from `192.168.1.*` without a signature", True, False, 24),
    ]


def test_a_default_applies_to_unlisted_resources_only():
    """`topicA=PUB` with a default of PUB|SUB gives no Sub on topicA, as in 1.0."""
    found = planned(account(topicPerms="[topicA=PUB]", defaultTopicPerm="PUB|SUB"))
    rights = Rights(found.converted[0].user, found.converted[0].acl)

    asked = {
        (name, action): decide(AccessRequest(ResourceType.TOPIC, name, frozenset({action})), rights).allowed
        for name in ("topicA", "topicB")
        for action in (Action.PUB, Action.SUB)
    }
    assert asked == {
        ("topicA", Action.PUB): True,
        ("topicA", Action.SUB): False,
        ("topicB", Action.PUB): True,
        ("topicB", Action.SUB): True,
    }


def test_an_unknown_permission_stays_deny():
    """`pub`, `ANY`, `PUB | SUB` and misspelt words are DENY in 1.0 and here; each has a note with its line."""
    found = planned(account(topicPerms="[a=pub, b=ANY, c=PUB | SUB, d=deny, 'e= ', f= SUB ]", defaultTopicPerm="ALL"))

    custom = entries(found.converted[0].acl)[PolicyType.CUSTOM]
    assert custom == [
        "Deny All on Topic:a from anywhere",
        "Deny All on Topic:b from anywhere",
        "Deny All on Topic:c from anywhere",
        "Deny All on Topic:d from anywhere",
        "Deny All on Topic:e from anywhere",
        "Allow Sub on Topic:f from anywhere",
    ]
    assert entries(found.converted[0].acl)[PolicyType.DEFAULT] == ["Deny All on Topic:* from anywhere"]
    unknown = [note.message for note in found.notes if note.kind is NoteKind.UNKNOWN_PERMISSION]
    assert len(unknown) == 6
    told = "is not a permission of 1.0, which treats it as DENY: it stays DENY"
    assert unknown[0] == f"`a=pub` {told} (Apache's migrator makes it Allow All)"
    # A blank permission is DENY for Apache's migrator, too.
    assert f"`e= ` {told}" in unknown


def limited_admin(version):
    text = account(admin="true", topicPerms="[a=SUB, b=DENY]", defaultTopicPerm="PUB", groupPerms="[g=SUB]")
    return planned(text, options=options_of(version))


@pytest.mark.parametrize("version", [None, "4.6.0", "4.9.8", "5.1.0"])
def test_an_admin_that_lists_permissions_is_limited_to_them(version):
    """1.0 up to 5.1.0 limits such an admin to its permissions, so it does not become Super. It can still administer."""
    found = limited_admin(version)

    (done,) = found.converted
    assert done.user.type is UserType.NORMAL
    assert entries(done.acl) == {
        PolicyType.CUSTOM: [
            "Allow Sub on Group:g from anywhere",
            "Deny Pub on Group:g from anywhere",
            "Allow Sub on Topic:a from anywhere",
            "Deny Pub on Topic:a from anywhere",
            "Deny Pub,Sub on Topic:b from anywhere",
            "Allow Pub,Create,Update,Delete,Get,List on Topic:* from anywhere",
            "Allow Create,Update,Delete,Get,List on Group:* from anywhere",
            "Allow All on Cluster:* from anywhere",
        ]
    }
    (note,) = found.notes
    limits = "limit it in 1.0 up to 5.1.0, and not from 5.1.1 to 5.3.2" if version is None else f"limit it in {version}"
    assert note.message == (
        f"the admin `account1` lists permissions, which {limits}: it becomes Normal with exactly these; make it Super if "
        "it should be allowed everything, as Apache's migrator does"
    )
    lost = [(one.resource, one.versions) for one in found.differences]
    assert all(one.before and not one.after for one in found.differences)
    resources = ("Group:g", "Topic:a", "Topic:b", "any other topic", "any other group")
    assert lost == ([(resource, "5.1.1 to 5.3.2") for resource in resources] if version is None else [])


@pytest.mark.parametrize("version", ["5.1.1", "5.2.0", "5.3.2"])
def test_newer_versions_do_not_limit_an_admin(version):
    """From 5.1.1 on, an admin may do everything, so it becomes Super, and its list has no notes."""
    found = limited_admin(version)

    (done,) = found.converted
    assert (done.user.type, done.acl) == (UserType.SUPER, None)
    (note,) = found.notes
    assert note.message == f"the admin `account1` lists permissions, which {version} ignores: it becomes Super"
    assert found.differences == ()


def test_a_default_that_apaches_migrator_adds_to_listed_resources_is_named():
    """Apache's migrator applies defaults to listed resources, too. All of these are named, and no others."""
    found = planned(
        account(
            topicPerms="[a=PUB, b=SUB, c=DENY, d=PUB|SUB, e=pub, 'f= ']",
            defaultTopicPerm="SUB",
            groupPerms="[g=PUB, h=SUB]",
            defaultGroupPerm="any",
        )
    )

    assert [note.message for note in found.notes if note.kind is NoteKind.APACHE_READING] == [
        f"Apache's migrator also applies the default `{default}` to {names}, although listed; 1.0 and mqguard do not"
        for default, names in (("SUB", "`a`"), ("any", "`g`, `h`"))
    ]


def test_files_that_a_version_does_not_read_are_not_migrated():
    """Versions before 4.9.3 only read `conf/plain_acl.yml`."""
    files = [
        parse_acl_v1("conf/acl/a.yml", account(accessKey="account2"), unordered=True),
        parse_acl_v1("conf/plain_acl.yml", account()),
    ]
    old, new = (plan_migration(files, NOBODY, options_of(version)) for version in ("4.9.2", "4.9.3"))

    assert [one.user.name for one in old.converted] == ["account1"]
    assert [(note.kind, note.file, note.message) for note in old.notes] == [
        (
            NoteKind.UNREAD_FILE,
            "conf/acl/a.yml",
            "4.9.2 does not read this file, only `conf/plain_acl.yml`: nothing in it is migrated",
        )
    ]
    assert [one.user.name for one in new.converted] == ["account2", "account1"]


def test_items_without_an_equivalent_are_left_out_with_a_note():
    """Impossible names are left out, and so are items that 1.0 replaced."""
    found = planned(
        account(
            topicPerms="['order*=PUB', ' =PUB', 'a=PUB', 'a=DENY', '%RETRY%g=SUB', '%DLQ%g=SUB']",
            groupPerms="['%RETRY%h=SUB', g=DENY]",
        )
    )

    assert entries(found.converted[0].acl) == {
        PolicyType.CUSTOM: ["Allow Sub on Group:g from anywhere", "Deny All on Topic:a from anywhere"]
    }
    assert [(note.kind, note.message.split(":")[0]) for note in found.notes] == [
        (NoteKind.REPLACED_ITEM, "`a=PUB` has no effect"),
        (NoteKind.REPLACED_ITEM, "`g=DENY` has no effect"),
        (NoteKind.SKIPPED_ITEM, "`%RETRY%h=SUB` is left out"),
        (NoteKind.SKIPPED_ITEM, "`order*=PUB` is left out"),
        (NoteKind.SKIPPED_ITEM, "` =PUB` is left out"),
        (NoteKind.SKIPPED_ITEM, "`%DLQ%g=SUB` is left out"),
    ]


def test_an_account_that_would_gain_a_right_is_left_out():
    """The account is left out if omitting an item would add a right, or if 1.0 rejects the item."""
    for bad, reason in (
        (account(topicPerms="[a]"), "is not a permission, and 1.0 rejects a file that has it"),
        (account(topicPerms="[a=b=PUB]"), "is not a permission"),
        (account(topicPerms="['a=']"), "is not a permission"),
        (account(groupPerms="[g=SUB]", topicPerms="['%DLQ%g=DENY']"), "a dead-letter topic belongs to its group"),
        ("accounts:\n  - accessKey: account1\n", "the account `account1` has no `secretKey`"),
        ("accounts:\n  - {accessKey: account1, secretKey: ' '}\n", "has no `secretKey`"),
        ("accounts:\n  - secretKey: 12345678\n", "the account has no `accessKey`"),
    ):
        found = planned(bad)
        assert found.changes == ()
        (note,) = [note for note in found.notes if note.kind is NoteKind.SKIPPED_ACCOUNT]
        assert reason in note.message
        assert "12345678" not in note.message


def test_a_repeated_account_counts_once_and_existing_users_stay():
    """A repeated account has a note with the position of the first. Existing users and subjects stay unchanged."""
    text = account() + "  - {accessKey: account1, secretKey: 12345678}\n"
    found = planned(text)
    assert [done.user.type for done in found.converted] == [UserType.NORMAL]
    assert [note.message for note in found.notes] == [
        "the account `account1` is repeated: only the first, `plain_acl.yml` line 3, is used"
    ]

    found = planned(text, AccessState.of([User("account1", ())], []))
    assert found.changes == ()
    assert [note.kind for note in found.notes] == [NoteKind.EXISTING_USER, NoteKind.REPEATED_ACCOUNT]


def test_an_existing_user_is_compared_with_an_account_with_rights():
    """Rights of the user beyond the account are reported separately. An account that 1.0 rejects had no rights."""
    existing = AccessState.of([User("account1", (), UserType.SUPER)], [])

    standing = planned(account(topicPerms="[a=PUB]"), existing).existing
    assert {(found.before, found.after) for found in standing} == {(False, True)}
    assert {found.why for found in standing} == {"the existing user has other rights"}
    for refused in (account(topicPerms="[a]"), "accounts: [{accessKey: account1}]"):
        found = planned(refused, existing)
        assert [note.kind for note in found.notes] == [NoteKind.EXISTING_USER]
        assert found.existing + found.differences == ()
    # The account is left out, although 1.0 accepted it, so its rights count.
    kept_out = planned(account(groupPerms="[g=SUB]", topicPerms="['%DLQ%g=DENY']"), existing)
    assert kept_out.existing


def test_short_names_and_secrets_have_a_note():
    """1.0 requires seven characters. Shorter ones are migrated with a note, which does not show the secret."""
    found = planned(account(accessKey="alice", secretKey="hush"))

    assert [note.message for note in found.notes] == [
        f"the {what} of `alice` is shorter than the 7 characters that 1.0 requires, so that 1.0 refuses its file; mqguard "
        "accepts it"
        for what in ("name", "secret")
    ]
    assert len(found.changes) == 1


def test_migrating_at_start_stores_once():
    """The first start migrates everything in one change. The second one finds the users and does nothing."""
    store = MemoryMetadataStore()
    manager = MetadataManager(store)
    manager.create_user("rocketmq2", "already-there")

    first = migrate([parse_acl_v1("plain_acl.yml", SHIPPED)], manager)
    assert [done.user.name for done in first.converted] == ["RocketMQ"]
    assert manager.snapshot.user("rocketmq2").secrets[0].secret == Secret("already-there")
    assert manager.snapshot.user("rocketmq2").type is UserType.NORMAL
    version = manager.snapshot.version
    again = migrate([parse_acl_v1("plain_acl.yml", SHIPPED)], manager)
    assert again.changes == ()
    assert manager.snapshot.version == version
    assert len(MetadataManager(store).snapshot.acl("RocketMQ").entries(PolicyType.CUSTOM)) == 6


_names = st.sampled_from(["a", "b", "%RETRY%a", "%DLQ%a", "%DLQ%c", "a*", " a ", ""])
_permissions = st.sampled_from(["PUB", "SUB", "PUB|SUB", "SUB|PUB", "DENY", "ANY", "pub", " SUB", ""])
_items = st.lists(st.builds("{}={}".format, _names, _permissions), max_size=3)
_defaults = st.one_of(st.none(), _permissions)
_REQUESTS = [
    (kind, name, action)
    for kind in (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER)
    for name in ("a", "b", "c")
    for action in Action
    if action is not Action.ALL
]


@given(st.booleans(), _items, _items, _defaults, _defaults, st.one_of(st.none(), VERSIONS))
@effort(500)
def test_no_right_is_ever_widened(admin, topics, groups, topic_default, group_default, version):
    """For any account, requests that 1.0 denies are denied, and Pub and Sub are decided as before.

    Without a version, requests are denied that any version denies.
    """
    lines = {"admin": str(admin).lower()}
    for key, items in (("topicPerms", topics), ("groupPerms", groups)):
        if items:
            lines[key] = "[" + ", ".join(f"'{item}'" for item in items) + "]"
    for key, default in (("defaultTopicPerm", topic_default), ("defaultGroupPerm", group_default)):
        if default is not None:
            lines[key] = f"'{default}'"
    text = account(**lines)
    rights_before = AclV1Permissions.of(parse_acl_v1("f", text).accounts[0], version)
    found = planned(text, options=MigrationOptions(version))
    split = [item for item in (*topics, *groups) if len([piece for piece in item.split("=") if piece]) != 2]
    if not found.converted:
        assert split or any(item.startswith("%DLQ%") for item in topics)
        return
    assert not split
    (done,) = found.converted
    rights = Rights(done.user, done.acl)

    assert not any(difference.after for difference in found.differences)
    for kind, name, action in _REQUESTS:
        before = allows(admin, topics, groups, topic_default, group_default, kind, name, action, version)
        after = decide(AccessRequest(kind, name, frozenset({action})), rights).allowed
        assert rights_before.allows(kind, name, action) is before
        assert before or not after, (kind, name, action)
        if action in (Action.PUB, Action.SUB):
            assert after is before, (kind, name, action)
    told = {(difference.resource, action) for difference in found.differences for action in difference.actions}
    for kind, name, action in _REQUESTS:
        before = rights_before.allows(kind, name, action)
        if decide(AccessRequest(kind, name, frozenset({action})), rights).allowed is not before:
            assert ("every topic, group and cluster", action) in told
