"""Commands that change policies, at a running server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.command import CompletedCommand, Run, run_as
from tests.fixtures.server import Server


@pytest.fixture
def user(admin: Run, request: pytest.FixtureRequest) -> Iterator[str]:
    """Create a user for the test, and delete it afterwards."""
    name = f"user-{abs(hash(request.node.name)) % 100_000}"
    assert admin("user", "create", name, "--secret", "a-secret-of-tests").code == 0
    yield name
    admin("user", "delete", name)


def entries(admin: Run, user: str) -> list[tuple[str, str, str, str, str]]:
    ended = admin("acl", "get", f"User:{user}", "--json")
    if ended.code == 4:
        return []
    assert ended.code == 0, ended.err
    return [
        (
            line["policy"],
            line["resource"],
            ",".join(line["actions"]),
            ",".join(line["sources"]),
            line["decision"],
        )
        for line in ended.lines
    ]


def rights(ended: CompletedCommand) -> list[tuple[str, str, str]]:
    """Return the permissions that a change gave and took."""
    assert ended.code == 0, ended.err
    (value,) = ended.lines
    return [
        (right["change"], right["resource"], ",".join(right["actions"]))
        for change in value["changes"]
        for right in change["rights"]
    ]


def test_repeated_options_add_up(admin: Run, user: str) -> None:
    """A Deny covers every given resource, action and address, not only the last of each."""
    words = ("-r", "Topic:a", "-r", "Topic:b,Group:g", "-a", "Pub", "-a", "Sub", "-i", "10.0.0.0/8", "-i", "192.0.2.1")
    assert admin("acl", "add", f"User:{user}", *words, "-d", "Deny").code == 0
    assert entries(admin, user) == [
        ("Custom", resource, "Pub,Sub", "10.0.0.0/8,192.0.2.1", "Deny")
        for resource in ("Topic:a", "Topic:b", "Group:g")
    ]


def test_add_removes_nothing(admin: Run, user: str) -> None:
    subject = f"User:{user}"
    first = admin("acl", "add", subject, "-r", "Topic:orders", "-a", "Sub,Get", "--json")
    assert rights(first) == [("gained", "Topic:orders", "Sub,Get")]
    assert rights(admin("acl", "add", subject, "-r", "Topic:orders", "-a", "Pub", "--json")) == [
        ("gained", "Topic:orders", "Pub")
    ]
    assert rights(admin("acl", "add", subject, "-r", "Topic:orders", "-a", "Pub", "--json")) == []
    assert rights(
        admin("acl", "add", subject, "-r", "Topic:orders", "-a", "Pub", "-i", "10.66.0.0/16", "-d", "Deny", "--json")
    ) == [("lost", "Topic:orders", "Pub")]
    assert entries(admin, user) == [
        ("Custom", "Topic:orders", "Sub,Get,Pub", "", "Allow"),
        ("Custom", "Topic:orders", "Pub", "10.66.0.0/16", "Deny"),
    ]


def test_create_replaces_nothing_and_set_reports_what_it_removes(admin: Run, user: str) -> None:
    subject = f"User:{user}"
    assert admin("acl", "create", subject, "-r", "Topic:orders", "-a", "Pub,Sub").code == 0
    refused = admin("acl", "create", subject, "-r", "Topic:orders", "-a", "Get")
    assert (refused.code, refused.out) == (1, "")
    assert "already has the entry `Allow Pub,Sub on Topic:orders from anywhere`: `mqguard acl add`" in refused.err
    assert entries(admin, user) == [("Custom", "Topic:orders", "Pub,Sub", "", "Allow")]

    assert rights(admin("acl", "set", subject, "-r", "Topic:orders", "-a", "Get", "--json")) == [
        ("lost", "Topic:orders", "Pub,Sub"),
        ("gained", "Topic:orders", "Get"),
    ]
    assert entries(admin, user) == [("Custom", "Topic:orders", "Get", "", "Allow")]


def test_remove_takes_actions_or_whole_entries(admin: Run, user: str) -> None:
    subject = f"User:{user}"
    admin("acl", "add", subject, "-r", "Topic:orders,Topic:other", "-a", "All")
    admin("acl", "add", subject, "-r", "Topic:orders", "-a", "Pub", "-i", "10.0.0.0/8", "-d", "Deny")
    assert rights(admin("acl", "remove", subject, "-r", "Topic:orders", "-d", "Deny", "--json")) == [
        ("gained", "Topic:orders", "Pub")
    ]
    admin("acl", "remove", subject, "-r", "Topic:orders", "-a", "Delete,Update")
    assert entries(admin, user)[0] == ("Custom", "Topic:orders", "Pub,Sub,Create,Get,List", "", "Allow")
    assert admin("acl", "remove", subject, "-r", "Topic:orders").code == 0
    assert [entry[1] for entry in entries(admin, user)] == ["Topic:other"]


def test_an_entry_that_does_not_exist_cannot_be_removed(admin: Run, user: str) -> None:
    subject = f"User:{user}"
    admin("acl", "add", subject, "-r", "Topic:orders", "-a", "Pub")
    unknown = admin("acl", "remove", subject, "-r", "Topic:orderz")
    assert (unknown.code, unknown.out) == (4, "")
    assert f"nothing was changed: {subject} Custom: no entry for `Topic:orderz`; nearest: `Topic:orders`" in unknown.err
    other = admin("acl", "remove", subject, "-r", "Topic:orders", "-a", "Sub")
    assert other.code == 4
    assert "it has `Allow Pub on Topic:orders from anywhere`" in other.err
    assert admin("acl", "remove", subject, "-r", "Topic:orders", "-r", "Topic:x").code == 4
    assert len(entries(admin, user)) == 1


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("-r", "Topic:a", "-i", "0.0.0.0"), "write `0.0.0.0/0` for every IPv4 address"),
        (("-r", "Topic:a", "-i", "::"), "write `::/0` for every IPv6 address"),
        (
            ("-r", "Topic:a", "-i", "10.66.0.1/8"),
            "write `10.0.0.0/8` for the range, or `10.66.0.1` for the one address",
        ),
        (("-r", "Topic:a", "-i", "224.0.0.1"), "is not the address of any client"),
        (("-r", "Topic:a", "-i", "10.0.0.256"), "write one address or a CIDR range"),
        (("-r", "Topic:a\x07"), "no name has characters that do not print, as `Topic:a\\x07` has"),
        (("-r", "Cluster:a\u202eb"), "no name has characters that do not print"),
        (("-r", "Topic:a b"), "holds characters other than letters"),
        (("-r", "Topic:%RETRY%g"), "a `%RETRY%` topic belongs to its group, so write `Group:g`"),
        (("-r", "Topik:a"), "unknown resource type"),
        ((), "`--resource` is missing"),
    ],
)
def test_an_invalid_value_is_refused_with_the_valid_ones(
    admin: Run, user: str, words: tuple[str, ...], right: str
) -> None:
    ended = admin("acl", "add", f"User:{user}", *words, "-a", "Pub")
    assert (ended.code, ended.out) == (2, "")
    assert right in ended.err
    assert entries(admin, user) == []


def test_a_consumer_gets_its_required_permissions_and_no_more(server: Server, admin: Run) -> None:
    """One command creates a consumer that works."""
    admin("topic", "create", "rights")
    made = admin("user", "create", "eva", "--consumer", "rights", "--group", "readers", "--json")
    (value,) = made.lines
    assert rights(made) == [("gained", "Topic:rights", "Sub"), ("gained", "Group:readers", "Sub")]
    assert value["warnings"] == []
    eva = run_as(server, "eva", value["password"])
    assert admin("send", "rights", "hello").code == 0
    assert eva("receive", "rights", "--group", "readers").out == "hello\n"
    assert eva("receive", "rights", "--group", "others").code == 1
    assert eva("send", "rights", "x").code == 1
    assert admin("acl", "add", "User:eva", "--producer", "rights").code == 0
    assert eva("send", "rights", "x").code == 0


def test_permissions_to_consume_need_a_group(admin: Run, user: str) -> None:
    ended = admin("acl", "add", f"User:{user}", "--consumer", "orders")
    assert (ended.code, ended.out) == (2, "")
    assert "`--consumer` needs the consumer group: add `--group GROUP`" in ended.err
    lonely = admin("acl", "add", f"User:{user}", "--producer", "orders", "--group", "g")
    assert lonely.code == 2


def test_a_permission_that_is_useless_alone_causes_a_warning(admin: Run, user: str) -> None:
    subject = f"User:{user}"
    topic = admin("acl", "add", subject, "-r", "Topic:absent", "-a", "Sub")
    assert (
        f"may use no consumer group, so it receives nothing: run `mqguard acl add {subject} -r Group:GROUP" in topic.err
    )
    assert admin("acl", "add", subject, "-r", "Group:g", "-a", "Sub").err == ""
    send = admin("acl", "add", subject, "-r", "Topic:absent", "-a", "Pub")
    assert "the topic `absent` does not exist" in send.err
    assert "run `mqguard topic create absent`" in send.err
    assert admin("acl", "add", subject, "-r", "Topic:absent2", "-a", "Pub,Create").err == ""
    group = admin("acl", "set", subject, "-r", "Topic:absent", "-a", "Get")
    assert group.code == 0


def test_a_change_of_a_user_shows_the_permissions(admin: Run, user: str) -> None:
    admin("acl", "add", f"User:{user}", "-r", "Topic:orders", "-a", "Get")
    disabled = admin("user", "update", user, "--status", "disable")
    assert f"- {user} lost Get on Topic:orders from anywhere" in disabled.out
    enabled = admin("user", "update", user, "--status", "enable", "--json")
    assert rights(enabled) == [("gained", "Topic:orders", "Get")]
    deleted = admin("user", "delete", user)
    assert f"- {user} lost Get on Topic:orders from anywhere" in deleted.out


def test_brokers_with_different_users_are_named_and_can_be_cleaned_up(
    server: Server, admin: Run, tmp_path: Path
) -> None:
    """A user that only one broker has is not half changed, and can be deleted."""
    with Server(tmp_path / "other") as other:
        assert admin("user", "create", "lopsided", "--broker", server.broker).code == 0
        both = ("--broker", server.broker, "--broker", other.broker)
        partial = admin("acl", "add", "User:lopsided", "-r", "Topic:t", "-a", "Sub", *both)
        assert (partial.code, partial.out) == (4, "")
        assert f"the user `lopsided` does not exist at the broker `{other.broker}`" in partial.err
        assert entries(admin, "lopsided") == []
        assert admin("user", "rotate", "lopsided", "--keep", "0", *both).code == 4
        assert admin("user", "delete", "lopsided", *both).code == 0
        assert admin("user", "delete", "lopsided", *both).code == 4

        assert admin("user", "create", "level", *both).code == 0
        added = admin("acl", "add", "User:level", "-r", "Topic:t", "-a", "Get", *both, "--json")
        (change,) = added.lines[0]["changes"]
        assert change["brokers"] == [server.broker, other.broker]
