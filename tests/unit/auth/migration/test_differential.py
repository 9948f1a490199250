"""A migration reports all differences. Brute force decides every account again."""

import dataclasses
from collections import Counter

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS
from mqguard.auth.decide import decide
from mqguard.auth.migration.acl_v1 import AclV1Version, parse_acl_v1
from mqguard.auth.migration.conversion import AccountUnfit, MigrationOptions, convert
from mqguard.auth.migration.differential import differences, differences_of
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest
from mqguard.guard.errors import PermissionsUnclear
from mqguard.guard.topic_ownership import group_permission, topic_permission
from mqguard.model.names import DLQ_PREFIX, RETRY_PREFIX, group_fault, topic_fault
from tests.property.analysis.universe import acls, effort
from tests.unit.auth.migration.plain_rules import VERSIONS, account_text, allows, defaults, items

TOPIC, GROUP, CLUSTER = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER
TOLD_ONCE = {Action.GET, Action.LIST}
ELSE = {TOPIC: "any other topic", GROUP: "any other group", CLUSTER: "any cluster"}
UNLISTED = "surely-not-listed"
OWNED, LEFT_OUT = "in mqguard the topic belongs to its group", "the item is left out"
NOT_READ = {
    (
        TOPIC,
        "SCHEDULE_TOPIC_XXXX",
    ): "the topic contains messages of all topics, and only Super users may read it in mqguard"
}
OLD, NEW = AclV1Version(4, 9, 8), AclV1Version(5, 2, 0)
EVERYTHING = Acl(
    Subject("account1"),
    (Policy(PolicyType.CUSTOM, (Entry(Resource.parse("*"), (Action.ALL,), (), Decision.ALLOW),)),),
)


def converted(lines, version=None):
    """Return the converted account with these lines; skip the example if it is left out."""
    (account,) = parse_acl_v1("plain_acl.yml", account_text(*lines)).accounts
    try:
        return convert(account, MigrationOptions(version))
    except AccountUnfit:
        assume(False)


def is_allowed_here(kind, name, action, rights):
    """Return True if the guard allows it here; a topic with messages of all topics requires Super."""
    try:
        need = (
            topic_permission(name, frozenset({action}))
            if kind is TOPIC
            else group_permission(name, frozenset({action}))
        )
    except PermissionsUnclear:
        return rights is not None and rights.user.is_super and rights.user.is_enabled
    kind = CLUSTER if kind is CLUSTER else need.type
    return decide(AccessRequest(kind, need.name, need.actions), rights).allowed


def was_allowed(lines, kind, name, action, version):
    """Return True if 1.0 allowed it. A send-back requires only Sub on the group and writes to its topics."""
    if action is Action.PUB and name.startswith(DLQ_PREFIX):
        group = name.removeprefix(DLQ_PREFIX)
        return allows(*lines, TOPIC, name, Action.PUB, version) or allows(*lines, GROUP, group, Action.SUB, version)
    return allows(*lines, kind, name, action, version)


def listed(lines):
    """Return the listed resources by the line of the item that counts, without names that no client can use."""
    _, topics, groups, *_ = lines
    table = {}
    written = [("", 9 + at, item) for at, item in enumerate(topics)]
    written = [(RETRY_PREFIX, 10 + len(topics) + at, item) for at, item in enumerate(groups)] + written
    for prefix, line, item in written:
        table[prefix + item.partition("=")[0].strip()] = line
    for key, line in table.items():
        if not key.startswith(RETRY_PREFIX):
            if topic_fault(key) is None:
                yield TOPIC, key, line
        elif group_fault(name := key.removeprefix(RETRY_PREFIX)) is None and not name.startswith(
            (RETRY_PREFIX, DLQ_PREFIX)
        ):
            yield GROUP, name, line


def expected(lines, rights, version, why=None):
    """Return every difference except those of white lists and of reading; `why` is the reason of all of them."""
    asked = [(kind, name, f"{kind.value}:{name}", line) for kind, name, line in listed(lines)]
    for kind, name, told, line in [*asked, *((kind, UNLISTED, told, 2) for kind, told in ELSE.items())]:
        for before in (True, False):
            actions = tuple(
                action
                for action in REQUEST_ACTIONS
                if action not in TOLD_ONCE
                and was_allowed(lines, kind, name, action, version) is before
                and is_allowed_here(kind, name, action, rights) is not before
            )
            if actions:
                reason = why or (OWNED if name.startswith(DLQ_PREFIX) else NOT_READ.get((kind, name), LEFT_OUT))
                yield "account1", told, actions, before, not before, reason, "plain_acl.yml", line


def found(told):
    """Return the reported differences, and those of reading separately."""
    told = [
        (one.account, one.resource, one.actions, one.before, one.after, one.why, one.file, one.mark.line)
        for one in told
    ]
    reading = [one for one in told if set(one[2]) == TOLD_ONCE]
    return reading, Counter(one for one in told if one not in reading)


accounts = st.tuples(st.booleans(), items, items, defaults, defaults)


@given(accounts, VERSIONS)
@example((False, ["%DLQ%a=PUB"], [], None, None), OLD)
@example((False, ["%DLQ%a=SUB"], ["a=SUB"], None, None), OLD)
@example((False, ["SCHEDULE_TOPIC_XXXX=PUB|SUB"], ["SCHEDULE_TOPIC_XXXX=SUB"], None, None), OLD)
@example((False, ["other0=PUB", "other1=SUB"], ["other0=DENY"], "SUB", "PUB"), OLD)
@example((True, ["a=PUB", "%DLQ%a=DENY"], ["a=SUB"], None, None), NEW)
@effort(60)
def test_every_difference_is_reported_and_none_adds_a_right(lines, version):
    """Both sets of rules decide each action on the listed and the unlisted resources."""
    done = converted(lines, version)
    reading, told = found(differences(done, MigrationOptions(version)))

    assert told == Counter(expected(lines, Rights(done.user, done.acl), version))
    assert not any(after for *_, after, _, _, _ in told)
    # Reading is a right to be given here; administrators have it.
    is_admin = lines[0]
    assert [one[1:5] for one in reading] == [
        ("every topic, group and cluster", (Action.GET, Action.LIST), True, False) for _ in range(not is_admin)
    ]
    assert {one[-1] for one in reading} <= {2}


@given(accounts, st.one_of(st.none(), st.just(EVERYTHING), acls("account1")), VERSIONS)
@example((False, ["a=PUB"], ["a=SUB"], None, None), None, OLD)
@example((False, [], [], None, None), EVERYTHING, OLD)
@example((True, ["%DLQ%a=PUB"], ["%DLQ%a=PUB", "a*=SUB"], None, "PUB"), EVERYTHING, OLD)
@effort(60)
def test_the_differences_do_not_rely_on_the_conversion(lines, acl, version):
    """For any policies of an account, the report shows what they allow more than 1.0, and what less."""
    done = converted(lines, version)
    assume(not done.user.is_super)
    done = dataclasses.replace(done, acl=acl)

    reading, told = found(differences(done, MigrationOptions(version)))
    rights = Rights(done.user, acl)
    assert told == Counter(expected(lines, rights, version))
    kept = all(is_allowed_here(kind, UNLISTED, action, rights) for kind in ELSE for action in TOLD_ONCE)
    assert len(reading) == (not kept)


DISABLED = Rights(User("account1", (), UserType.SUPER, UserStatus.DISABLE), None)
rights_here = st.one_of(
    st.none(),
    st.builds(
        lambda kind, status, acl: Rights(User("account1", (), kind, status), acl),
        st.sampled_from(UserType),
        st.sampled_from(UserStatus),
        st.one_of(st.none(), st.just(EVERYTHING), acls("account1")),
    ),
)


@given(accounts, rights_here, VERSIONS)
@example((True, [], [], None, None), Rights(User("account1", ()), None), OLD)
@example((False, ["SCHEDULE_TOPIC_XXXX=SUB"], [], None, None), Rights(User("account1", (), UserType.SUPER), None), OLD)
@example((False, ["SCHEDULE_TOPIC_XXXX=SUB"], [], None, None), DISABLED, OLD)
@example((False, ["a=PUB", "%DLQ%a=PUB"], [], None, None), Rights(User("account1", (), UserType.SUPER), None), OLD)
@effort(60)
def test_existing_users_and_omitted_accounts_are_compared(lines, rights, version):
    """The comparison covers existing users, policies without a user, and accounts that are left out."""
    assume(not any(item.startswith("=") for item in lines[1] + lines[2]))
    (account,) = parse_acl_v1("plain_acl.yml", account_text(*lines)).accounts
    why = "the existing user has other rights" if rights else "there are policies, but the user does not exist"
    options = MigrationOptions(version)
    _, told = found(differences_of(account, rights, options, exists=True))
    assert told == Counter(expected(lines, rights, version, why))

    reading, told = found(differences_of(account, None, options))
    assert told == Counter(expected(lines, None, version, "the account is left out"))
    assert len(reading) == 1


def decided(told, version):
    """Return each reported decision of one version."""
    for one in told:
        first, _, last = one.versions.partition(" to ")
        if not first or AclV1Version.parse(first) <= version <= AclV1Version.parse(last):
            yield from ((one.resource, action, one.before, one.after) for action in one.actions)


@given(accounts, rights_here, VERSIONS)
@example((True, ["a=PUB"], [], None, None), Rights(User("account1", ()), None), NEW)
@example((False, ["RMQ_SYS_TRACE_TOPIC=DENY"], [], None, None), None, NEW)
@effort(60)
def test_without_a_version_the_report_has_the_differences_of_each_version(lines, rights, version):
    """A difference of some versions names them."""
    assume(not any(item.startswith("=") for item in lines[1] + lines[2]))
    (account,) = parse_acl_v1("plain_acl.yml", account_text(*lines)).accounts
    unknown = Counter(decided(differences_of(account, rights), version))

    assert unknown == Counter(decided(differences_of(account, rights, MigrationOptions(version)), version))


@pytest.mark.parametrize(
    ("admin", "item", "version", "expected"),
    [
        (True, "a=PUB", None, [("Topic:a", "Sub", True, "5.1.1 to 5.3.2")]),
        (True, "a=PUB", "5.1.0", []),
        (True, "a=PUB", "5.1.1", []),
        (False, "RMQ_SYS_TRACE_TOPIC=DENY", None, [("Topic:RMQ_SYS_TRACE_TOPIC", "Pub", True, "4.9.4 to 5.3.2")]),
        (False, "RMQ_SYS_TRACE_TOPIC=DENY", "4.9.3", []),
        (False, "RMQ_SYS_TRACE_TOPIC=DENY", "4.9.4", [("Topic:RMQ_SYS_TRACE_TOPIC", "Pub", True, "")]),
        (False, "RMQ_SYS_TRACE_TOPIC=SUB", None, [("Topic:RMQ_SYS_TRACE_TOPIC", "Pub", False, "4.6.0 to 4.9.3")]),
        (False, "RMQ_SYS_TRACE_TOPIC=SUB", "5.1.0", []),
    ],
)
def test_versions_of_1_0_differ(admin, item, version, expected):
    """Limits of admins end at 5.1.0, and sending traces is free from 4.9.4 on."""
    options = MigrationOptions(None if version is None else AclV1Version.parse(version))
    (account,) = parse_acl_v1("plain_acl.yml", account_text(admin, [item], [], None, None)).accounts
    found = [one for one in differences(convert(account, options), options) if one.resource.startswith("Topic:")]

    assert [
        (one.resource, ",".join(a.value for a in one.actions), one.before, one.versions) for one in found
    ] == expected


@pytest.mark.parametrize("admin", [False, True])
def test_a_white_list_is_reported_first_with_its_line(admin):
    """1.0 required no signature from these addresses."""
    done = converted((admin, [], [], None, None, "192.168.1.*"))

    first, *rest = differences(done)
    assert first.resource == "everything, from `192.168.1.*` without a signature"
    assert (first.account, first.before, first.after, first.mark.line) == ("account1", True, False, 7)
    assert first.actions == REQUEST_ACTIONS
    assert first.why == "1.0 required no credentials from there, not even a signature"
    assert len(rest) == (not admin)
