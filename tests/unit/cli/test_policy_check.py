"""`mqguard lint`, `diff` and `test`, for scripts."""

from tests.unit.cli.policy_run import run, run_json

POLICY = """\
version: 1
users: {shop: {}, idle: {}}
policies:
  User:shop:
    custom:
      - {resource: "*", actions: Pub, decision: Allow}
      - {resource: Topic:a, actions: Pub, decision: Allow}
tests:
  - {user: shop, action: Pub, resource: "Topic:*", must: allow}
  - {user: shop, action: Sub, resource: Topic:a, must: allow}
"""


def test_findings_have_their_position(policy, capsys):
    """A finding has a rule, subject, entry, file, line, column, and a request."""
    code, found = run_json(capsys, "lint", "-f", policy)

    assert code == 1
    assert [(one["rule"], one["line"], one["column"]) for one in found["findings"]] == [
        ("no-rights", 2, 19),
        ("overly-broad", 6, 9),
        ("redundant", 7, 9),
    ]
    assert found["findings"][2]["example"] == {"action": "Pub", "resource": "Topic:a", "from": "192.0.2.1"}
    assert found["findings"][2]["others"] == ["User:shop Custom entry 1"]


def test_rules_can_be_left_out(policy, capsys):
    """The remaining findings decide the exit code; an unknown rule is an error."""
    ignored = [word for rule in ("overly-broad", "redundant", "no-rights") for word in ("--ignore", rule)]

    assert run(capsys, "lint", "-f", policy, *ignored)[:2] == (0, "no findings\n")
    code, _, err = run(capsys, "lint", "-f", policy, "--ignore", "overly-wide")
    assert code == 2
    assert "unknown rule `overly-wide`: did you mean `overly-broad`?" in err


def test_failed_tests_have_their_position(policy, capsys):
    """Each failed test has its position and a request; the exit code is 1, and 2 if there are no tests."""
    code, found = run_json(capsys, "test", "-f", policy)

    assert (code, found["tests"], found["failed"]) == (1, 2, 1)
    (failed,) = [one for one in found["outcomes"] if not one["holds"]]
    assert (failed["line"], failed["column"]) == (10, 5)
    assert failed["failures"][0]["example"] == {"action": "Sub", "resource": "Topic:a", "from": "192.0.2.1"}
    assert failed["failures"][0]["verdict"] == {"decision": "Deny", "reason": "no-match", "entry": None}
    policy.write_text("version: 1\n")
    code, _, err = run(capsys, "test", "-f", policy)
    assert code == 2
    assert "there are no tests" in err


def test_diff_lists_each_permission(policy, tmp_path, capsys):
    """It lists added and removed permissions by user; equal files exit with 0."""
    new = tmp_path / "new.yaml"
    new.write_text(POLICY.replace("actions: Pub", "actions: Sub").replace("idle: {}", "idle: {type: Super}"))
    code, found = run_json(capsys, "diff", policy, new)

    assert code == 1
    assert found["users"] == [{"user": "idle", "what": "type", "old": "Normal", "new": "Super"}]
    assert [(one["user"], one["change"], one["resource"], one["actions"]) for one in found["rights"]] == [
        ("idle", "gained", "*", ["All"]),
        ("shop", "lost", "*", ["Pub"]),
        ("shop", "gained", "*", ["Sub"]),
    ]
    assert run_json(capsys, "diff", new, new) == (0, {"changed": False, "users": [], "rights": [], "rewritten": []})


def test_findings_come_in_the_order_of_the_file(policy, capsys):
    """Each has its subject, since users of a group share a position, and the line of the other entry."""
    policy.write_text(
        """\
version: 1
users: {b: {}, a: {}}
entry_groups:
  all:
    - {resource: "Topic:*", actions: All, decision: Allow}
policies:
  User:b: {custom: [{use: all}]}
  User:a:
    custom:
      - {resource: Topic:x, actions: Pub, decision: Allow}
      - {use: all}
"""
    )

    wide = "`Allow All on Topic:* from anywhere`"
    told = run(capsys, "lint", "-f", policy)[1].splitlines()
    assert told == [
        *(
            f"{policy}:5:7: overly-broad: User:{user}: {wide} allows all actions on every topic "
            "(e.g. Pub Topic:any from 192.0.2.1)"
            for user in "ab"
        ),
        (
            f"{policy}:10:9: redundant: User:a: `Allow Pub on Topic:x from anywhere` changes nothing: without it the "
            f"same requests are still allowed by {wide} (e.g. Pub Topic:x from 192.0.2.1; see line 5)"
        ),
    ]
