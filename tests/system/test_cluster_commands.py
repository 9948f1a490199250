"""Commands about groups, consumers, brokers and the audit log, so that no other tool is needed."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess

import pytest

from tests.fixtures.command import MQGUARD, Run, run_as
from tests.fixtures.server import SUPER, SUPER_SECRET, Server, environment
from tests.fixtures.waiting import eventually


def test_groups_are_created_listed_and_deleted(admin: Run) -> None:
    assert admin("group", "create", "books", "--retries", "3").code == 0
    again = admin("group", "create", "books")
    assert (again.code, again.err) == (1, "mqguard: the group `books` exists\n")
    assert admin("group", "list").out.splitlines().count("books") == 1
    assert "TOOLS_CONSUMER" not in admin("group", "list").out
    assert "TOOLS_CONSUMER" in admin("group", "list", "--all").out
    unknown = admin("group", "delete", "book")
    assert (unknown.code, unknown.err) == (4, "mqguard: the group `book` does not exist; nearest: `books`\n")
    assert admin("group", "delete", "books").code == 0
    assert "books" not in admin("group", "list").out


def test_the_lag_of_a_group_falls_when_it_receives_and_rises_when_it_is_reset(admin: Run) -> None:
    assert admin("topic", "create", "lagging", "--queues", "2").code == 0
    assert admin("group", "create", "slow").code == 0
    for _ in range(3):
        assert admin("send", "lagging", "x").code == 0
    assert admin("receive", "lagging", "--group", "slow", "--count", "3", "--wait", "1").code == 0

    def lag() -> object:
        lines = admin("consumer", "lag", "slow", "--json").lines
        return [(line["topic"], line["lag"], line["members"]) for line in lines if line["topic"] == "lagging"]

    assert lag() == [("lagging", 0, 0)]
    assert admin("consumer", "reset", "slow", "lagging", "--to", "earliest", "--json").lines[0]["lag"] == 3
    assert lag() == [("lagging", 3, 0)]
    queues = admin("consumer", "lag", "slow", "--topic", "lagging", "--queues", "--json").lines
    assert sum(line["lag"] for line in queues) == 3
    assert admin("consumer", "reset", "slow", "lagging", "--to", "latest", "--json").lines[0]["lag"] == 0
    assert "slow" in admin("consumer", "lag").out
    offline = admin("consumer", "list", "slow")
    assert (offline.code, offline.err) == (4, "mqguard: no consumer of the group `slow` is connected\n")
    assert admin("consumer", "lag", "sloww").code == 4
    wrong = admin("consumer", "reset", "slow", "lagging", "--to", "yesterday")
    assert wrong.code == 2
    assert "is not a valid time" in wrong.err


def test_the_status_names_each_broker(admin: Run, server: Server) -> None:
    (line,) = admin("status", "--json").lines
    assert (line["broker"], line["address"], line["error"]) == ("broker-a", server.broker, None)
    assert line["version"].startswith("mqguard ")
    assert line["values"]["clusterName"] == "DefaultCluster"
    assert "broker-a" in admin("status").out


def test_an_exporter_may_look_and_change_nothing(admin: Run, server: Server) -> None:
    """The permissions of the task are enough for every command that only shows the cluster."""
    assert admin("user", "create", "watcher", "--exporter", "--secret", "secret-of-watcher").code == 0
    watcher = run_as(server, "watcher", "secret-of-watcher")
    for words in (("status",), ("topic", "list"), ("group", "list"), ("consumer", "lag"), ("user", "list")):
        ended = watcher(*words)
        assert ended.code == 0, (words, ended.err)
    for words in (("topic", "create", "t"), ("group", "create", "g"), ("send", "lagging", "x")):
        assert watcher(*words).code == 1


@pytest.mark.parametrize(("words", "kinds"), [(("--denied",), {"deny"}), (("--changes",), {None})])
def test_the_audit_log_is_shown_in_parts(
    admin: Run, server: Server, words: tuple[str, ...], kinds: set[object]
) -> None:
    name = f"auditee-{len(words[0])}"
    assert admin("user", "create", name, "--secret", "secret-of-auditee").code == 0
    assert run_as(server, name, "secret-of-auditee")("topic", "create", "t").code == 1
    data = ("--data", str(server.data))

    def records() -> list[dict[str, object]]:
        found = admin("audit", *data, *words, "--json").lines
        return [one for one in found if name in (one["user"], str(one.get("subject")).removeprefix("User:"))]

    assert eventually(records)
    assert {one.get("verdict") for one in records()} == kinds
    text = admin("audit", *data, *words).out
    assert f"create-user User:{name}: done" in text or f"User:{name} from 127.0.0.1 deny" in text
    if "deny" in kinds:
        assert "GET_BROKER_CLUSTER_INFO Get on Cluster:DefaultCluster (no-match)" in text


def test_tables_have_lines_at_a_terminal_and_are_plain_in_a_pipe(server: Server) -> None:
    variables = environment(
        MQGUARD_NAMESRV=server.namesrv, MQGUARD_ACCESS_KEY=SUPER, MQGUARD_SECRET_KEY=SUPER_SECRET, TERM="xterm"
    )
    reader, writer = pty.openpty()
    command = [MQGUARD, "user", "list", SUPER]
    with subprocess.Popen(command, stdout=writer, stdin=subprocess.DEVNULL, env=variables) as process:
        os.close(writer)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal ends with an error
            while part := os.read(reader, 65536):
                shown += part
        os.close(reader)
    assert process.returncode == 0
    assert "─".encode() in shown
    assert SUPER.encode() in shown
    piped = subprocess.run(command, capture_output=True, env=variables, check=True).stdout
    assert piped.startswith(b"#UserName  #UserType")
    assert b"\x1b" not in piped


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mqguard acl add User:comp", {"User:completed"}),
        ("mqguard can comp", {"completed"}),
        ("mqguard send compl", {"complete-topic"}),
        ("mqguard acl add User:x -r Topic:compl", {"Topic:complete-topic"}),
        ("mqguard acl add User:x -r Topic:a,Gr", {"Topic:a,Group:"}),
        ("mqguard acl add User:x -a Pub,S", {"Pub,Sub"}),
        ("mqguard doctor --user comp", {"completed"}),
        ("mqguard topic up", {"update"}),
        ("mqguard acl add User:x --producer compl", {"complete-topic"}),
    ],
)
def test_the_shell_completes_names_of_the_cluster(admin: Run, line: str, expected: set[str]) -> None:
    admin("user", "create", "completed")
    admin("topic", "create", "complete-topic")
    words = line.split()
    ended = admin(_MQGUARD_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    assert {one.partition(",")[2] for one in ended.out.splitlines()} == expected


def test_without_a_server_there_is_nothing_to_complete(admin: Run) -> None:
    words = {"_MQGUARD_COMPLETE": "bash_complete", "COMP_WORDS": "mqguard can a", "COMP_CWORD": "2"}
    ended = admin(**words, MQGUARD_NAMESRV="127.0.0.1:1")
    assert (ended.out.strip(), ended.err) == ("", "")
