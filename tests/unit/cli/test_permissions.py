"""`mqguard can` and `mqguard who-can`, for scripts."""

import re

import pytest

from tests.unit.cli.policy_run import run, run_json

POLICY = """\
version: 1
users: {shop: {}, idle: {}, dora: {status: disable}, root: {type: Super}}
policies:
  User:shop:
    custom:
      - {resource: "Topic:a*", actions: All, sources: [10.0.0.0/8, "2001:db8::/32"], decision: Allow}
      - {resource: Topic:ab, actions: Pub, decision: Deny}
"""


def test_permissions_are_regions_with_an_example(policy, capsys):
    """A region has a resource, its exceptions, actions, sources, and one request."""
    code, found = run_json(capsys, "can", "shop", "-f", policy)

    assert (code, found["type"], found["status"]) == (0, "Normal", "enable")
    assert found["rights"][0] == {
        "resource": "Topic:a*",
        "namespaced": None,
        "except": ["Topic:ab"],
        "actions": ["All"],
        "from": ["10.0.0.0/8", "2001:db8::/32"],
        "anywhere": False,
        "example": {"action": "Pub", "resource": "Topic:a", "from": "10.0.0.1"},
    }
    assert found["rights"][1]["resource"] == "Topic:ab"
    assert found["rights"][1]["actions"] == ["Sub", "Create", "Update", "Delete", "Get", "List"]


def test_a_user_without_permissions_gets_the_reason(policy, capsys):
    """The user has no policy, is disabled, or does not exist."""
    assert run(capsys, "can", "idle", "-f", policy)[:2] == (
        1,
        "`idle` has no permissions: no entry allows anything\n",
    )
    assert run(capsys, "can", "dora", "-f", policy)[:2] == (1, "`dora` has no permissions: the user is disabled\n")
    assert run(capsys, "can", "shpo", "-f", policy)[2] == (
        "mqguard: the user `shpo` does not exist: did you mean `shop`?\n"
    )


def test_holders_are_listed_with_their_part(policy, capsys):
    """The part is all or some of the permission, with the entries that grant it."""
    code, found = run_json(capsys, "who-can", "pub", "Topic:a*", "--from", "10.1.2.3", "-f", policy)

    assert code == 0
    assert [(one["user"], one["super"], one["all"]) for one in found["holders"]] == [
        ("root", True, True),
        ("shop", False, False),
    ]
    policy.write_text("version: 1\nusers: {idle: {}}\n")
    assert run(capsys, "who-can", "Pub", "Topic:a", "-f", policy)[:2] == (1, "no user\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Publish", "Topic:a"], "unknown action `Publish`"),
        (["Pub", "Topics:a"], "unknown resource type"),
        (["Pub", "Topic:a", "--from", "10.*"], "`10.*` is not a valid source address"),
    ],
)
def test_an_invalid_question_is_code_2(words, message, policy, capsys):
    """The error names a valid question."""
    code, _, err = run(capsys, "who-can", *words, "-f", policy)

    assert code == 2
    assert message in err


def test_several_actions_may_be_given(policy, capsys):
    """Any one of them is enough, as for `explain`."""
    code, found = run_json(capsys, "who-can", "Pub, Get", "Topic:ab", "-f", policy)

    assert code == 0
    assert [(one["user"], one["rights"][0]["actions"]) for one in found["holders"]] == [
        ("root", ["Pub", "Get"]),
        ("shop", ["Get"]),
    ]


def test_an_error_names_a_few_of_many_users(policy, capsys):
    """It also reports a name that has policies but no user."""
    policy.write_text(
        POLICY.replace("shop: {}, ", "").replace("root:", ", ".join(f"n{n:02}: {{}}" for n in range(20)) + ", root:")
    )

    code, _, err = run(capsys, "can", "zzz", "-f", policy)
    assert code == 4
    assert err.startswith("mqguard: the user `zzz` does not exist: the users are `dora`, `idle`, `n00`")
    assert err.endswith("`n07` and 13 more\n")
    assert run(capsys, "can", "shop", "-f", policy)[2] == (
        "mqguard: the user `shop` does not exist; policies for that name exist and apply once the user is created\n"
    )
    policy.write_text("version: 1\n")
    assert run(capsys, "can", "zzz", "-f", policy)[2] == "mqguard: the user `zzz` does not exist: there are no users\n"


def test_a_line_names_a_few_of_many(policy, capsys):
    """The line shortens exceptions and addresses; JSON has all of them."""
    names = ", ".join(f"Topic:a{n}" for n in range(20))
    ranges = ", ".join(f"10.{2 * n}.0.0/16" for n in range(10))
    policy.write_text(
        POLICY.replace("Topic:ab, actions", f"[{names}], actions").replace('10.0.0.0/8, "2001:db8::/32"', ranges)
    )

    _, out, _ = run(capsys, "can", "shop", "-f", policy)
    assert re.split("  +", out.splitlines()[1]) == [
        "Topic:a* but Topic:a0, Topic:a1, Topic:a10, Topic:a11, Topic:a12, Topic:a13, Topic:a14, Topic:a15, 12 more",
        "All",
        ", ".join([*(f"10.{2 * n}.0.0/16" for n in range(8)), "2 more"]),
    ]
    _, found = run_json(capsys, "can", "shop", "-f", policy)
    assert len(found["rights"][0]["except"]) == 20
    assert len(found["rights"][0]["from"]) == 10
