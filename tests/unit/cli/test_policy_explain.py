"""Explain, for scripts and with questions that are none."""

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


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_the_whole_story_as_json(policy, capsys):
    """Verdict, the entry that decided, those it beat and why, and what would turn it."""
    asked = ("--user", "shop", "--action", "Pub", "--resource", "Topic:ab", "--from", "10.1.2.3")
    code, found = run_json(capsys, "explain", *asked, "-f", policy)

    assert code == 1
    assert (found["decision"], found["reason"], found["entry"]) == (
        "Deny",
        "denied",
        "Deny Pub on Topic:ab from anywhere",
    )
    assert [one["standing"] for one in found["considered"]] == ["decided", "overruled"]
    assert found["turn"]["remove"] == ["Deny Pub on Topic:ab from anywhere"]


def test_allowed_is_exit_code_0(policy, capsys):
    """And denied is 1, also for a user that does not exist."""
    assert run(capsys, "explain", "--user", "shop", "--action", "Pub", "--resource", "Topic:ac", "-f", policy)[0] == 0
    assert run(capsys, "explain", "--user", "none", "--action", "Pub", "--resource", "Topic:ac", "-f", policy)[0] == 1


@pytest.mark.parametrize(
    ("action", "resource", "origin", "message"),
    [
        ("Pub", "Topic:a*", "10.1.2.3", "`Topic:a*` is no single resource"),
        ("Pub", "*", "10.1.2.3", "`*` is no single resource"),
        ("All", "Topic:a", "10.1.2.3", "a request asks for single actions"),
        ("Pub,", "Topic:a", "10.1.2.3", "unknown action"),
        ("Pub", "Topic:a", "10.0.0.0/8", "`10.0.0.0/8` is no address"),
        ("Pub", "a", "10.1.2.3", "unknown resource type"),
    ],
)
def test_a_question_that_is_none(action, resource, origin, message, policy, capsys):
    """Exit code 2, and what would be right."""
    asked = ("--user", "shop", "--action", action, "--resource", resource, "--from", origin)
    code, _, err = run(capsys, "explain", *asked, "-f", policy)

    assert code == 2
    assert message in err
