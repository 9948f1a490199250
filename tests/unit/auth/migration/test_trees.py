"""Directories of ACL 1.0 files: the accounts that count, the ones left out, and no user that gains a right."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.decide import decide
from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.acl_v1 import parse_acl_v1
from mqguard.auth.migration.conversion import DEFAULT_OPTIONS, MigrationOptions, NoteKind
from mqguard.auth.migration.migration import NOBODY, migrate, plan_migration
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.user import LiveSecret, Secret, Subject, User, UserType
from mqguard.auth.verdict import AccessRequest
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.property.analysis.universe import effort
from tests.unit.auth.migration.plain_rules import VERSIONS
from tests.unit.auth.migration.white_list_vectors import ADDRESSES, REFUSED, VECTORS

HEAD = "accounts:\n"
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP


def account(name="account1", secret="12345678", **lines):
    shown = {"accessKey": name, "secretKey": secret, **lines}
    return "- {" + ", ".join(f"{key}: {value}" for key, value in shown.items() if value is not None) + "}\n"


def planned(*texts, unordered=False, existing=NOBODY, options=DEFAULT_OPTIONS):
    files = [parse_acl_v1(f"{name}.yml", text, unordered=unordered) for name, text in zip("abc", texts, strict=False)]
    return plan_migration(files, existing, options)


def told(found, topic=None):
    return [
        (note.file, note.mark.line, note.account, note.message) for note in found.notes if topic in (None, note.kind)
    ]


def test_all_reasons_to_leave_an_account_out_are_reported():
    """Each item has a note with its line."""
    text = HEAD + "- accessKey: account1\n  topicPerms:\n  - a\n  - b=PUB\n  - c=PUB=SUB\n  groupPerms: ['g=']\n"
    found = planned(text)

    assert [(line, message.split(" is not ")[0].split(":")[0]) for _, line, _, message in told(found)] == [
        (2, "the account `account1` has no `secretKey`"),
        (7, "`g=`"),
        (4, "`a`"),
        (6, "`c=PUB=SUB`"),
    ]
    assert {note.kind for note in found.notes} == {NoteKind.SKIPPED_ACCOUNT}
    assert (found.changes, found.differences) == ((), ())


def test_the_lost_rights_of_an_omitted_account_are_reported():
    """1.0 accepted the account, so it had rights and a white list; the report shows the loss of each."""
    found = planned(
        HEAD
        + "- accessKey: account1\n  secretKey: 12345678\n  whiteRemoteAddress: 10.0.0.1\n  defaultTopicPerm: PUB\n"
        + "  groupPerms:\n  - g=SUB\n  topicPerms:\n  - '%DLQ%g=DENY'\n  - '%DLQ%h=SUB'\n  - t=PUB|SUB\n"
    )

    assert found.changes == ()
    assert [(line, message[:30]) for _, line, _, message in told(found)] == [
        (4, "1.0 allows everything to `acco"),
        (9, "`%DLQ%g=DENY` cannot be kept: "),
        (10, "`%DLQ%h=SUB` is left out: a de"),
        (5, "Apache's migrator also applies"),
    ]
    assert [
        (one.resource, [action.value for action in one.actions], one.mark.line, one.before, one.after)
        for one in found.differences[2:]
    ] == [
        ("Group:g", ["Sub"], 7, True, False),
        ("Topic:%DLQ%g", ["Pub"], 9, True, False),
        ("Topic:%DLQ%h", ["Sub"], 10, True, False),
        ("Topic:t", ["Pub", "Sub"], 11, True, False),
        ("any other topic", ["Pub"], 2, True, False),
    ]
    assert {one.why for one in found.differences[2:]} == {"the account is left out"}
    assert [one.resource for one in found.differences[:2]] == [
        "everything, from `10.0.0.1` without a signature",
        "every topic, group and cluster",
    ]


def test_files_of_one_directory_have_no_order():
    """An account that differs in two files is left out. If both are equal, it is one account."""
    one, other = HEAD + account(topicPerms="[a=PUB]"), HEAD + account(topicPerms="[a=SUB]")
    found = planned(one, other, unordered=True)

    assert found.changes == ()
    message = (
        "the account `account1` differs in `a.yml` line 2 and in `b.yml` line 2, and 1.0 uses the one "
        "whose file the directory lists first, which is unknown here: the account is left out; keep one of them"
    )
    assert told(found, NoteKind.SKIPPED_ACCOUNT) == [
        ("a.yml", 2, "account1", message),
        ("b.yml", 2, "account1", message),
    ]
    assert [(one.account, one.resource) for one in found.differences if one.resource.startswith("Topic:")] == [
        ("account1", "Topic:a"),
        ("account1", "Topic:a"),
    ]
    for change in ({"secret": "another8"}, {"admin": "true"}, {"groupPerms": "[g=SUB]"}, {"defaultTopicPerm": "SUB"}):
        assert planned(HEAD + account(), HEAD + account(**change), unordered=True).changes == ()

    alike = planned(one, HEAD + account(topicPerms="[a=SUB, ' a = PUB ']"), unordered=True)
    assert [done.user.name for done in alike.converted] == ["account1"]
    assert [note.kind for note in alike.notes if note.file == "b.yml"] == [NoteKind.REPEATED_ACCOUNT]


def test_a_known_order_counts():
    """The order is known between a directory and the plain file, and of files named by the operator."""
    one, other = HEAD + account(topicPerms="[a=PUB]"), HEAD + account(topicPerms="[a=SUB]")
    plain_last = [parse_acl_v1("x.yml", one, unordered=True), parse_acl_v1("plain_acl.yml", other)]

    for found in (plan_migration(plain_last), planned(one, other)):
        (done,) = found.converted
        assert done.acl.entries(PolicyType.CUSTOM)[0].actions == (Action.PUB,)
        assert len(told(found, NoteKind.REPEATED_ACCOUNT)) == 1


def test_different_accounts_of_one_name_in_a_file_are_left_out():
    """1.0 uses the last one after a change of the file, and the first one after a start from 4.9.3 on."""
    found = planned(HEAD + account(topicPerms="[a=PUB]") + account(topicPerms="[a=SUB]"))

    assert found.changes == ()
    message = (
        "the account `account1` differs in `a.yml` line 2 and in `a.yml` line 3, and 1.0 uses the first or the last of "
        "them, depending on its version and on changes of the file since its start: the account is left out; keep one "
        "of them"
    )
    assert told(found) == [("a.yml", 2, "account1", message), ("a.yml", 3, "account1", message)]
    alike = planned(HEAD + account(topicPerms="[a=PUB]") + account(topicPerms="['a = PUB']"))
    assert [done.user.name for done in alike.converted] == ["account1"]


def test_existing_users_are_compared_and_not_changed():
    """Their differences from 1.0 are reported separately, because the migration does not change them."""
    wide = Entry(Resource.parse("Topic:a"), (Action.PUB, Action.SUB), (), Decision.ALLOW)
    acl = Acl(Subject("account1"), (Policy(PolicyType.CUSTOM, (wide,)),))
    existing = AccessState.of([User("account1", (LiveSecret(Secret("other")),))], [acl])
    found = planned(HEAD + account(topicPerms="[a=PUB, b=SUB]"), existing=existing)

    assert (found.changes, found.differences) == ((), ())
    assert [(one.resource, one.actions, one.before, one.after) for one in found.existing[1:]] == [
        ("Topic:a", (Action.SUB,), False, True),
        ("Topic:b", (Action.SUB,), True, False),
    ]
    assert found.existing[1].why == "the existing user has other rights"
    orphan = planned(HEAD + account(topicPerms="[b=SUB]"), existing=AccessState({}, {"account1": acl}))
    assert orphan.changes == ()
    told_of = ("Topic:b", True, False, "there are policies, but the user does not exist")
    assert told_of in [(one.resource, one.before, one.after, one.why) for one in orphan.existing]


def test_only_what_java_trims_is_trimmed():
    """A no-break space stays part of a permission, which is then unknown, and of a name, which is another topic."""
    found = planned(HEAD + account(topicPerms="['a=PUB\u00a0', 'b\u00a0=PUB', '\tc\x20= SUB ', 'd=\u3000PUB']"))
    (done,) = found.converted
    rights = Rights(done.user, done.acl)

    def may(action, name):
        return decide(AccessRequest(TOPIC, name, frozenset({action})), rights).allowed

    assert not may(Action.PUB, "a")
    assert not may(Action.PUB, "b")
    assert not may(Action.PUB, "d")
    assert may(Action.SUB, "c")
    assert [message for *_, message in told(found, NoteKind.UNKNOWN_PERMISSION)] == [
        f"`{item}` is not a permission of 1.0, which treats it as DENY: it stays DENY (Apache's migrator makes it Allow All)"
        for item in ("a=PUB\u00a0", "d=\u3000PUB")
    ]


def test_white_lists_of_any_form_are_reported_except_blank_ones():
    """A white list that 1.0 can use causes a difference. One that 1.0 refuses, or that matches nothing, does not."""
    used = ["*", "*.*.*.*", "192.168.0.1-10", "1.1.1.1,2.2.2.2", "10.0.*.5"]
    unused = ["10.0.{1,2}.*", "10.0.0.0/8", "nonsense", "010.0.0.*"]
    lines = "".join(f"- '{form}'\n" for form in [*used, *unused, "", " "])
    found = planned(f"globalWhiteRemoteAddresses:\n{lines}-\n{HEAD}{account(whiteRemoteAddress=repr(' '))}")

    noted = told(found, NoteKind.WHITE_LIST)
    assert [line for _, line, *_ in noted] == list(range(2, 2 + len(used) + len(unused)))
    assert "from `10.0.*.5` (10.0.0.0/16), without an account" in noted[4][-1]
    assert noted[6][-1] == (
        "the white list `10.0.0.0/8` is not valid in 1.0, so it allowed nothing: 1.0 does not know CIDR ranges such as "
        "`10.0.0.0/8`"
    )
    assert noted[8][-1] == "the white list `010.0.0.*` matches no address in 1.0"
    assert [one.resource for one in found.differences if not one.account] == [
        f"everything, from `{form}` without an account" for form in used
    ]


@pytest.mark.parametrize("as_sources", [False, True])
def test_an_account_with_a_white_list_that_1_0_refuses_is_left_out(as_sources):
    """The account could do nothing in 1.0, so there is no difference."""
    found = planned(
        HEAD + account(whiteRemoteAddress="10.0.0.0/8"), options=MigrationOptions(white_lists_as_sources=as_sources)
    )

    assert (found.changes, found.differences) == ((), ())
    message = (
        "the white list `10.0.0.0/8` is not valid in 1.0, so the account `account1` could do nothing and is left "
        "out: 1.0 does not know CIDR ranges such as `10.0.0.0/8`"
    )
    assert told(found, NoteKind.SKIPPED_ACCOUNT) == [("a.yml", 2, "account1", message)]


AS_SOURCES = MigrationOptions(white_lists_as_sources=True)


def test_white_lists_become_sources_of_allow_entries():
    """A Deny stays valid everywhere. The loss outside the white list is reported."""
    lines = {"topicPerms": "[a=PUB, b=DENY]", "defaultGroupPerm": "SUB", "whiteRemoteAddress": "'10.0.*.5'"}
    found = planned(HEAD + account(**lines), options=AS_SOURCES)
    (done,) = found.converted

    assert [entry.text for policy in done.acl.policies for entry in policy.entries] == [
        "Allow Pub on Topic:a from 10.0.0.0/16",
        "Deny All on Topic:b from anywhere",
        "Allow Sub on Group:* from 10.0.0.0/16",
    ]
    assert told(found, NoteKind.WHITE_LIST)[0][-1] == (
        "`10.0.*.5` (10.0.0.0/16) becomes the source of all Allow entries of `account1`, which also needs its signature "
        "there; in 1.0 the account needed no signature from there, and had its rights from everywhere else, too"
    )
    assert found.differences[1].actions == (Action.PUB, Action.SUB)
    assert [(one.resource, one.why) for one in found.differences][:2] == [
        ("everything, from `10.0.*.5` without a signature", NO_SIGNATURE),
        (
            "its resources, from outside `10.0.*.5`",
            "the white list became the sources of its entries",
        ),
    ]
    assert [one.resource for one in found.differences[2:]] == ["every topic, group and cluster"]


NO_SIGNATURE = "1.0 required no credentials from there, not even a signature"


def test_an_admin_with_sources_is_normal():
    """Policies do not limit Super users, so the admin gets every permission from its sources instead."""
    admin = {"admin": "true", "whiteRemoteAddress": "10.0.0.1"}
    (done,) = (found := planned(HEAD + account(**admin), options=AS_SOURCES)).converted

    assert done.user.type is UserType.NORMAL
    assert [entry.text for entry in done.acl.entries(PolicyType.CUSTOM)] == [
        f"Allow All on {kind}:* from 10.0.0.1" for kind in ("Topic", "Group", "Cluster")
    ]
    assert told(found, NoteKind.WHITE_LIST)[-1][-1] == (
        "the admin `account1` becomes Normal, with every permission from its sources, because policies do not limit "
        "Super users"
    )
    everywhere = planned(HEAD + account(admin="true", whiteRemoteAddress="'*'"), options=AS_SOURCES)
    assert everywhere.converted[0].user.type is UserType.SUPER


def test_an_account_without_any_source_is_left_out():
    """Entries without sources would apply everywhere."""
    text = HEAD + account(topicPerms="[a=PUB]", whiteRemoteAddress="'010.0.0.*'")
    found = planned(text, options=AS_SOURCES)

    assert found.changes == ()
    assert "has no source, so it could do nothing" in told(found, NoteKind.SKIPPED_ACCOUNT)[0][-1]
    assert len(planned(text).converted) == 1


names = st.sampled_from(["account1", "account2", "account3"])
topics = st.sampled_from(
    ["a=PUB", "a=SUB", "b=PUB|SUB", "b=DENY", "a=pub", "%RETRY%a=SUB", "%DLQ%a=DENY", "b", "c=PUB\u00a0"]
)
groups = st.sampled_from(["a=SUB", "a=DENY", "b=SUB|PUB", "b=x", "a=="])
permissions = st.sampled_from([None, "PUB", "SUB", "PUB|SUB", "DENY", "ANY", "nonsense", "'SUB\u00a0'"])
written = st.builds(
    account,
    names,
    st.sampled_from(["12345678", "87654321", None]),
    admin=st.sampled_from([None, "true", "false", "yes"]),
    topicPerms=st.one_of(st.none(), st.lists(topics.map(repr), max_size=2).map(lambda found: f"[{', '.join(found)}]")),
    groupPerms=st.one_of(st.none(), st.lists(groups.map(repr), max_size=2).map(lambda found: f"[{', '.join(found)}]")),
    defaultTopicPerm=permissions,
    defaultGroupPerm=permissions,
)
trees = st.lists(st.lists(written, max_size=3).map(lambda found: HEAD + "".join(found) if found else ""), max_size=3)
KNOWN = {"PUB": "P", "SUB": "S", "PUB|SUB": "PS", "SUB|PUB": "PS"}
REQUESTS = [
    (kind, name, action)
    for kind in (TOPIC, GROUP, ResourceType.CLUSTER)
    for name in ("a", "b", "c", "z")
    for action in Action
    if action is not Action.ALL
]


def may_in_1_0(found, kind, name, action):
    """Return what 1.0 allows to one account, by its rules; an account that it rejects may do nothing."""
    items = [*(("%RETRY%", item.text) for item in found.groups), *(("", item.text) for item in found.topics)]
    table = {}
    for prefix, item in items:
        pieces = [piece for piece in item.split("=") if piece]
        if len(pieces) != 2:
            return False
        table[prefix + pieces[0].strip(" \t")] = KNOWN.get(pieces[1].strip(" \t"), "")
    if found.secret is None:
        return False
    if action in (Action.GET, Action.LIST):
        return True
    if action not in (Action.PUB, Action.SUB) or kind is ResourceType.CLUSTER or (found.admin and not table):
        return found.admin
    default = found.group_default if kind is GROUP else found.topic_default
    said = "" if default is None else KNOWN.get(default.text.strip(" \t"), "")
    return action.value[0] in table.get("%RETRY%" + name if kind is GROUP else name, said)


def orders(files):
    """Return every order in which 1.0 may read a directory of such files; the last file is the plain one."""
    return [[*some, *files[-1:]] for some in itertools.permutations(files[:-1])]


@given(trees)
@effort(150)
def test_no_user_gains_a_right_from_any_directory(texts):
    """For any order of the files, each right here existed in 1.0 with the same secret."""
    files = [parse_acl_v1(f"{at}.yml", text, unordered=at < len(texts) - 1) for at, text in enumerate(texts)]
    store = MemoryMetadataStore()
    manager = MetadataManager(store)
    found = migrate(files, manager)

    counted = []
    for order in orders(files):
        first = {}
        for one in (account for file in order for account in file.accounts):
            first.setdefault(one.access_key, one)
        counted.append(first)
    for user in manager.snapshot.users():
        rights = manager.snapshot.rights(user.name)
        for first in counted:
            assert first[user.name].secret == user.secrets[0].secret
            for kind, name, action in REQUESTS:
                if decide(AccessRequest(kind, name, frozenset({action})), rights).allowed:
                    assert may_in_1_0(first[user.name], kind, name, action), (user.name, kind, name, action)
    assert not any(one.after for one in found.differences)
    every = {one.access_key for file in files for one in file.accounts}
    left_out = every - {user.name for user in manager.snapshot.users()}
    assert left_out <= {note.account for note in found.notes if note.kind is NoteKind.SKIPPED_ACCOUNT}
    version = manager.snapshot.version
    again = migrate(files, manager)
    assert again.changes == ()
    assert manager.snapshot.version == version


FORMS = [text for text, answers in VECTORS.items() if answers != REFUSED]


@given(written, st.sampled_from(FORMS), st.sampled_from(ADDRESSES), st.one_of(st.none(), VERSIONS))
@effort(150)
def test_sources_only_remove_rights(text, form, address, version):
    """From an address of the white list the account has the same rights as without sources, from others none."""
    text = HEAD + text.replace("{", f"{{whiteRemoteAddress: '{form}', ", 1)
    plain = planned(text, options=MigrationOptions(version)).converted
    limited = planned(text, options=MigrationOptions(version, white_lists_as_sources=True)).converted
    for done in limited:
        (free,) = plain
        is_inside = VECTORS[form][ADDRESSES.index(address)] == "y"
        for kind, name, action in REQUESTS:
            asked = AccessRequest(kind, name, frozenset({action}), parse_address(address))
            allowed = decide(asked, Rights(done.user, done.acl)).allowed
            assert allowed is (is_inside and decide(asked, Rights(free.user, free.acl)).allowed), (kind, name, action)


def test_existing_users_and_policies_are_never_touched():
    """This holds for users, and for policies without a user. A second run does nothing."""
    store = MemoryMetadataStore()
    manager = MetadataManager(store)
    manager.create_user("account1", "my-own-secret", UserType.NORMAL)
    found = migrate([parse_acl_v1("a.yml", HEAD + account(admin="true") + account("account2"))], manager)

    assert [user.name for user in (done.user for done in found.converted)] == ["account2"]
    assert manager.snapshot.user("account1").type is UserType.NORMAL
    assert manager.snapshot.user("account1").secrets[0].secret == Secret("my-own-secret")
