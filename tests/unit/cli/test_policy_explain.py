"""`mqguard explain`, for scripts and with invalid questions."""

import pytest

from tests.unit.cli.policy_run import run, run_json

POLICY = """\
version: 1
users: {shop: {}}
policies:
  User:shop:
    custom:
      - {resource: "Topic:a*", actions: Pub, decision: Allow}
      - {resource: Topic:ab, actions: Pub, decision: Deny}
"""


def test_the_complete_explanation_as_json(policy, capsys):
    """It has the decision, the deciding and the overruled entries, and the smallest change that reverses it."""
    asked = ("--user", "shop", "--action", "Pub", "--resource", "Topic:ab", "--from", "10.1.2.3")
    code, found = run_json(capsys, "explain", *asked, "-f", policy)

    assert code == 1
    assert (found["decision"], found["reason"], found["entry"]) == (
        "Deny",
        "denied",
        "Deny Pub on Topic:ab from anywhere",
    )
    assert [one["outcome"] for one in found["considered"]] == ["decided", "overruled"]
    assert found["minimalChange"]["remove"] == ["Deny Pub on Topic:ab from anywhere"]


def test_allowed_is_exit_code_0_and_denied_is_1(policy, capsys):
    """A user that does not exist is denied."""
    assert run(capsys, "explain", "--user", "shop", "--action", "Pub", "--resource", "Topic:ac", "-f", policy)[0] == 0
    assert run(capsys, "explain", "--user", "none", "--action", "Pub", "--resource", "Topic:ac", "-f", policy)[0] == 1


@pytest.mark.parametrize(
    ("action", "resource", "origin", "message"),
    [
        ("Pub", "Topic:a*", "10.1.2.3", "`Topic:a*` is not a single resource"),
        ("Pub", "*", "10.1.2.3", "`*` is not a single resource"),
        ("All", "Topic:a", "10.1.2.3", "`All` is not a valid action of a request"),
        ("Pub,", "Topic:a", "10.1.2.3", "unknown action"),
        ("Pub", "Topic:a", "10.0.0.0/8", "`10.0.0.0/8` is not a valid address"),
        ("Pub", "a", "10.1.2.3", "unknown resource type"),
    ],
)
def test_an_invalid_question_is_code_2(action, resource, origin, message, policy, capsys):
    """The error names a valid question."""
    asked = ("--user", "shop", "--action", action, "--resource", resource, "--from", origin)
    code, _, err = run(capsys, "explain", *asked, "-f", policy)

    assert code == 2
    assert message in err


def turned(policy, capsys, *words):
    """Return the output from the line of the change on."""
    _, out, _ = run(capsys, "explain", *words, "-f", policy)
    return out[out.index("smallest change that reverses this decision:") :].splitlines()


def test_the_effects_of_a_change_are_listed(policy, capsys):
    """They are all permissions that are added or removed, or the line that none is."""
    here = ("--user", "shop", "--action", "Pub", "--from", "10.1.2.3")

    assert turned(policy, capsys, *here, "--resource", "Topic:ac") == [
        "smallest change that reverses this decision:",
        "  add to User:shop Custom: Deny Pub on Topic:ac from 10.1.2.3",
        "this change affects no other request",
    ]
    assert turned(policy, capsys, *here, "--resource", "Topic:ab") == [
        "smallest change that reverses this decision:",
        "  remove from User:shop Custom: Deny Pub on Topic:ab from anywhere",
        "this change has these effects:",
        "  + shop gained Pub on Topic:ab from anywhere",
    ]


def test_the_effects_of_a_change_of_a_user_are_listed(policy, capsys):
    """They follow from the policies of the name, even if its user does not exist yet."""
    asked = ("--user", "shop", "--action", "Pub", "--resource", "Topic:ac")
    told = "smallest change that reverses this decision: {}\nthis change has these effects:\n  + shop gained Pub on Topic:a* but Topic:ab from anywhere"

    for users, step in (("{}", "create the user `shop`"), ("{shop: {status: disable}}", "enable the user `shop`")):
        policy.write_text(POLICY.replace("{shop: {}}", users))
        assert "\n".join(turned(policy, capsys, *asked)) == told.format(step)
    policy.write_text(POLICY.replace("{shop: {}}", "{shop: {type: Super}}"))
    assert turned(policy, capsys, *asked) == [
        "smallest change that reverses this decision: disable the user `shop`; as a Normal user its policies would still allow the request",
        "this change has these effects:",
        "  - shop lost All on * from anywhere",
    ]


def test_changes_are_data_for_scripts(policy, capsys):
    """Each has a request; the list is empty if no change reverses the decision."""
    _, found = run_json(capsys, "explain", "--user", "shop", "--action", "Pub", "--resource", "Topic:ab", "-f", policy)

    assert [(one["change"], one["resource"], one["actions"]) for one in found["minimalChange"]["changes"]] == [
        ("gained", "Topic:ab", ["Pub"])
    ]
    _, found = run_json(capsys, "explain", "--user", "shop", "--action", "Pub", "--resource", "Topic: ", "-f", policy)
    assert found["minimalChange"] is None


def test_the_first_of_many_changes_are_shown(policy, capsys):
    """The user is disabled and has many permissions."""
    lines = "".join(f"      - {{resource: Topic:t{n}, actions: Pub, decision: Allow}}\n" for n in range(20))
    policy.write_text(POLICY.replace("shop: {}", "shop: {status: disable}") + lines)

    told = turned(policy, capsys, "--user", "shop", "--action", "Pub", "--resource", "Topic:t1")
    assert len(told) == 11
    assert told[-1] == "  and 13 more (`--json` shows all)"


def test_a_name_cannot_forge_a_change(policy, capsys):
    policy.write_text(
        POLICY.replace("shop: {}", '"shop\\n+ root": {status: disable}').replace("User:shop", '"User:shop\\n+ root"')
    )

    told = turned(policy, capsys, "--user", "shop\n+ root", "--action", "Pub", "--resource", "Topic:ac")

    assert told == [
        r"smallest change that reverses this decision: enable the user `shop\n+ root`",
        "this change has these effects:",
        r"  + shop\n+ root gained Pub on Topic:a* but Topic:ab from anywhere",
    ]
