"""`mqguard replay`, for people and for scripts."""

import json

import pytest

from tests.unit.cli.policy_run import run, run_json

POLICY = """\
version: 1
users: {shop: {}, admin: {type: Super}}
policies:
  User:shop:
    custom:
      - {resource: "Topic:orders*", actions: Pub, decision: Allow}
      - {resource: Topic:orders-secret, actions: Pub, decision: Deny}
      - {resource: Group:g, actions: Sub, decision: Allow}
"""


def record(second, resource, verdict, user="shop", **more):
    """Return a line of the audit log."""
    line = {
        "time": f"2026-01-02T03:04:{second:02}.000Z",
        "event": "authorization",
        "verdict": verdict.lower(),
        "reason": "allowed",
        "user": user,
        "authenticated_by": "signature",
        "source": "10.1.2.3",
        "code": 310,
        "permissions": [
            {"resource": resource, "actions": ["Pub"], "verdict": verdict, "decided_by": {"resource": "Topic:*"}}
        ],
    }
    return json.dumps(line | more) + "\n"


@pytest.fixture(name="logs")
def some_logs(tmp_path):
    """Write two parts of a log into a directory; the first ends in the middle of a record."""
    directory = tmp_path / "audit"
    directory.mkdir()
    (directory / "audit.jsonl.1").write_text(
        record(1, "Topic:orders-secret", "Allow") * 3
        + record(2, "Topic:new", "Allow")
        + record(3, "Topic:x", "Allow")[:40]
    )
    (directory / "audit.jsonl").write_text(
        record(4, "Topic:orders-1", "Deny")
        + record(5, "Topic:orders-2", "Allow")
        + record(6, "Topic:a", "Allow", "admin")
    )
    (directory / "auth_audit.log").write_text("not this one\n")
    return directory


def test_changes_are_listed_with_the_most_frequent_denial_first(policy, logs, capsys):
    code, out, err = run(capsys, "replay", logs, "-f", policy, "--unused")
    assert (code, err) == (1, "")
    assert (
        out
        == f"""\
7 decisions in 2 files, 2026-01-02T03:04:01.000Z to 2026-01-02T03:04:06.000Z
1 line skipped: not audit records
would be denied: 2 different, would be allowed: 1 different
- shop Pub on Topic:orders-secret from 10.1.2.3
    3 times, last 2026-01-02T03:04:01.000Z: was allowed, would be denied by `Deny Pub on Topic:orders-secret from anywhere`
- shop Pub on Topic:new from 10.1.2.3
    1 time, last 2026-01-02T03:04:02.000Z: was allowed, would be denied (no-match)
+ shop Pub on Topic:orders-1 from 10.1.2.3
    1 time, last 2026-01-02T03:04:04.000Z: was denied, would be allowed by `Allow Pub on Topic:orders* from anywhere`
{policy}:8:9: unused: Allow Sub on Group:g from anywhere of User:shop
"""
    )


def test_all_streams_of_a_directory_are_read_with_their_counts(policy, logs, capsys):
    more = json.loads(record(7, "Topic:new", "Allow")) | {"count": 4}
    (logs / "audit.jsonl.admitted").write_text(json.dumps(more) + "\n")
    (logs / "audit.jsonl.unauthenticated.1").write_text(
        json.dumps({"time": "2026-01-02T03:04:08.000Z", "event": "folded", "count": 1_000}) + "\n"
    )
    _, out, _ = run(capsys, "replay", logs, "-f", policy)
    assert out.splitlines()[:2] == [
        "11 decisions in 4 files, 2026-01-02T03:04:01.000Z to 2026-01-02T03:04:08.000Z",
        "1,000 denials not replayed: the log has only their number",
    ]
    assert "    5 times, last 2026-01-02T03:04:07.000Z: was allowed, would be denied (no-match)" in out


def test_json_has_the_same_changes(policy, logs, capsys):
    code, found = run_json(capsys, "replay", logs / "audit.jsonl", logs, "-f", policy, "--unused")
    assert code == 1
    assert (found["decisions"], found["unreadable"], found["lost"]) == (7, 1, 0)
    assert found["files"] == [str(logs / "audit.jsonl"), str(logs / "audit.jsonl.1")]
    assert found["changes"][0] == {
        "user": "shop",
        "actions": ["Pub"],
        "resource": "Topic:orders-secret",
        "from": "10.1.2.3",
        "times": 3,
        "last": "2026-01-02T03:04:01.000Z",
        "old": "Allow",
        "new": {"decision": "Deny", "reason": "denied", "entry": "Deny Pub on Topic:orders-secret from anywhere"},
    }
    assert found["unused"] == [
        {"subject": "User:shop", "policy": "Custom", "number": 3, "entry": "Allow Sub on Group:g from anywhere"}
    ]


def test_equal_policies_change_no_decision(policy, tmp_path, capsys):
    log = tmp_path / "log"
    log.write_text(record(1, "Topic:orders", "Allow") + json.dumps({"time": "t", "event": "lost", "count": 5}) + "\n")
    code, out, _ = run(capsys, "replay", log, "-f", policy)
    assert code == 0
    assert out.endswith("5 records missing in the log: the audit queue was full\nall decisions would be the same\n")
    (tmp_path / "empty").touch()
    assert run(capsys, "replay", tmp_path / "empty", "-f", policy)[0] == 0


def test_a_file_that_is_not_a_log_is_refused(policy, tmp_path, capsys):
    for path, told in (
        (tmp_path / "none", "cannot be read: No such file or directory"),
        (policy, "is not an audit log with JSON lines: give `audit.jsonl`"),
        (tmp_path, "has no `audit.jsonl`"),
    ):
        code, out, err = run(capsys, "replay", path, "-f", policy)
        assert (code, out) == (2, "")
        assert told in err
    assert run(capsys, "replay", "-f", policy)[0] == 2


def test_a_name_of_a_sender_cannot_forge_a_line(policy, tmp_path, capsys):
    """Senders choose the names of topics, and denied ones are audited as well."""
    log = tmp_path / "log"
    log.write_text(record(1, "Topic:new\n+ admin All on *\x1b[2K", "Allow"))

    code, out, _ = run(capsys, "replay", log, "-f", policy)

    assert code == 1
    assert out.splitlines()[2:] == [
        r"- shop Pub on Topic:new\n+ admin All on *\x1b[2K from 10.1.2.3",
        "    1 time, last 2026-01-02T03:04:01.000Z: was allowed, would be denied (no-match)",
    ]
