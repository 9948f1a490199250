"""Commands at a running server print what scripts can read, with reliable exit codes."""

from __future__ import annotations

import functools
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.fixtures.command import MQGUARD, Run, run, run_as
from tests.fixtures.server import FIRST_CERTIFICATE, SUPER, SUPER_SECRET, Server, environment


@pytest.fixture
def anonymous(server: Server, tmp_path: Path) -> Run:
    """Return a function that runs commands without credentials."""
    return functools.partial(run, MQGUARD_NAMESRV=server.namesrv, directory=tmp_path)


def test_a_sent_message_is_received_once(admin: Run) -> None:
    assert admin("topic", "create", "t1", "--queues", "2").out == "created the topic t1 at broker-a: 2 queues, rw\n"
    sent = admin("send", "t1", "hello", "--tags", "A", "--keys", "k1 k2", "--json")
    assert sent.code == 0
    assert sent.lines[0]["topic"] == "t1"
    received = admin("receive", "t1", "--json")
    assert received.code == 0
    (message,) = received.lines
    assert message["body"] == "hello"
    assert (message["queueId"], message["queueOffset"]) == (sent.lines[0]["queueId"], sent.lines[0]["queueOffset"])
    assert {"TAGS": "A", "KEYS": "k1 k2", "UNIQ_KEY": sent.lines[0]["msgId"]}.items() <= message["properties"].items()

    again = admin("receive", "t1", "--wait", "0.2")
    assert (again.code, again.out) == (4, "")
    assert again.err == "mqguard: no message of `t1` for the group `mqguard-cli` arrived within 0.2 s\n"
    assert admin("receive", "t1", "--group", "other").out == "hello\n"


def test_a_body_may_come_from_standard_input_and_any_bytes_are_shown(admin: Run) -> None:
    assert admin("send", "t2", "-", give="first\nsecond é\n").code == 0
    assert admin("receive", "t2").out == "first\nsecond é\n\n"


def test_a_refusal_exits_with_1_with_apaches_message_and_a_decision_id(
    server: Server, admin: Run, anonymous: Run
) -> None:
    assert admin("topic", "create", "t3").code == 0
    assert admin("user", "create", "carol", "--secret", "carol-secret").code == 0
    carol = run_as(server, "carol", "carol-secret")
    refused = carol("send", "t3", "x")
    assert (refused.code, refused.out) == (1, "")
    assert "no permission" in refused.err
    assert "[decision " in refused.err
    assert admin("acl", "create", "User:carol", "-r", "Topic:t3", "-a", "Pub").code == 0
    assert carol("send", "t3", "x").code == 0
    assert carol("receive", "t3").code == 1
    assert admin("user", "update", "carol", "--status", "disable").code == 0
    assert carol("send", "t3", "x").code == 1
    assert anonymous("send", "t3", "x").code == 1
    assert run_as(server, "carol", "wrong")("send", "t3", "x", "--json").err.startswith('{"error": "no permission: ')


def test_users_are_created_changed_listed_and_deleted(admin: Run) -> None:
    made = admin("user", "create", "dave", "--json")
    (value,) = made.lines
    assert (value["user"], value["type"], len(value["password"])) == ("dave", "Normal", 32)
    assert admin("user", "create", "dave").code == 1
    assert "The user is existed" in admin("user", "create", "dave").err
    assert admin("user", "update", "dave", "--type", "Super").code == 0
    shown = admin("user", "get", "dave")
    assert shown.out.splitlines()[1].split()[:3] == ["dave", "Super", "enable"]
    assert value["password"] not in shown.out
    assert [line["user"] for line in admin("user", "list", "dav", "--json").lines] == ["dave"]
    assert admin("user", "delete", "dave").code == 0
    assert admin("user", "get", "dave").code == 4


def test_topics_are_listed_and_deleted(admin: Run) -> None:
    assert admin("topic", "create", "t4", "--type", "FIFO").code == 0
    listed = admin("topic", "list").out.splitlines()
    assert "t4" in listed
    assert not {"TBW102", "DefaultCluster", "broker-a", "DefaultCluster_REPLY_TOPIC"} & set(listed)
    assert {"t4", "TBW102"} <= set(admin("topic", "list", "--all").out.splitlines())
    assert admin("topic", "delete", "t4").code == 0
    assert "t4" not in admin("topic", "list").out.splitlines()


def test_a_topic_is_never_shrunk_without_a_flag(admin: Run) -> None:
    """Messages in removed queues are not delivered, so neither a default nor a typing error removes queues."""
    assert admin("topic", "create", "wide", "--queues", "16").code == 0
    again = admin("topic", "create", "wide")
    assert (again.code, again.out) == (1, "")
    assert "exists at `broker-a` with 16 queues, rw: use `mqguard topic update`" in again.err
    assert admin("topic", "create", "wide", "--queues", "16").out.startswith("nothing to change")
    shrunk = admin("topic", "update", "wide", "--read-queues", "4")
    assert shrunk.code == 1
    assert shrunk.err.startswith("mqguard: nothing was changed: the topic `wide` has 16 queues, rw at `broker-a`")
    assert admin("topic", "update", "wide", "--queues", "20").code == 0
    (value,) = admin("topic", "update", "wide", "--queues", "4", "--shrink", "--json").lines
    assert value["brokers"] == [
        {
            "broker": "broker-a",
            "created": False,
            "changed": True,
            "readQueues": 4,
            "writeQueues": 4,
            "perm": 6,
            "attributes": {},
        }
    ]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("topic", "delete", "no-such-topic"), "the topic `no-such-topic` does not exist"),
        (
            ("topic", "update", "wide-open", "--queues", "8"),
            "the topic `wide-open` does not exist; nearest: `wide-topic`",
        ),
        (("user", "delete", "franky"), "the user `franky` does not exist; nearest: `frank`"),
        (("user", "update", "franky", "--status", "disable"), "the user `franky` does not exist; nearest: `frank`"),
        (("user", "get", "franky"), "the user `franky` does not exist; nearest: `frank`"),
        (("acl", "delete", "User:franky"), "the user `franky` does not exist; nearest: `frank`"),
        (("acl", "delete", "User:frank"), "`User:frank` has no policies"),
    ],
)
def test_a_missing_name_exits_with_4_and_the_nearest_names(admin: Run, words: tuple[str, ...], error: str) -> None:
    admin("topic", "create", "wide-topic")
    admin("user", "create", "frank")
    ended = admin(*words)
    assert (ended.code, ended.out) == (4, "")
    assert error in ended.err


def test_an_unknown_cluster_is_reported_with_the_known_ones(admin: Run) -> None:
    ended = admin("user", "list", "--cluster", "none")
    assert ended.code == 1
    assert "no broker of the cluster `none`; clusters: DefaultCluster" in ended.err


def test_the_commands_support_tls(admin: Run) -> None:
    assert admin("send", "t5", "x", "--tls").code == 0
    assert admin("receive", "t5", "--tls").out == "x\n"


def test_the_administrator_of_the_first_start_is_found_in_the_data_directory(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"initAuthenticationUser": ""}) as own:
        found = run("user", "list", "--data", str(own.data), "--namesrv", own.namesrv, "--json")
        assert [line["user"] for line in found.lines] == ["admin"]


def test_the_demo_allows_denies_explains_and_cleans_up(server: Server, admin: Run) -> None:
    before = admin("topic", "list").out, admin("user", "list").out
    ended = admin("demo", "--json")
    assert (ended.code, ended.err) == (0, "")
    steps = ended.lines
    denied = [step for step in steps if step["outcome"] == "denied"]
    created = [line for step in steps for line in step.get("mqadmin", []) if line.startswith("createUser")]
    assert len([line for line in created if " -p '<secret>' " in line]) == 2
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert [step["outcome"] for step in steps if step["outcome"] != "done"] == [
        "allowed", "allowed", "denied", "allowed",
    ]  # fmt: skip
    assert "has no permission to access Topic:demo-orders" in denied[0]["message"]
    assert "its actions do not match the request" in denied[0]["reason"]
    assert denied[0]["remedy"] in [line for step in steps for line in step.get("mqadmin", [])]
    assert (admin("topic", "list").out, admin("user", "list").out) == before
    story = admin("why", denied[0]["decision"], "--data", str(server.data))
    assert story.code == 0
    assert f"request 310 SEND_MESSAGE_V2 of User:{steps[2]['description'].split()[-1]}" in story.out


def has_ipv6() -> bool:
    """True if this machine has an IPv6 loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_everything_works_over_ipv6(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"brokerIP1": "::1"}) as own:
        ended = run_as(own)("demo", "--json", "--namesrv", f"[::1]:{own.namesrv_port}")
    assert (ended.code, ended.err) == (0, "")
    refused = next(step for step in ended.lines if step["outcome"] == "denied")
    assert "from ::1, no matched policies" in refused["message"]


def test_the_demo_reports_a_server_without_access_control(tmp_path: Path) -> None:
    settings = {"authenticationEnabled": "false", "authorizationEnabled": "false"}
    with Server(tmp_path, settings=settings) as own:
        ended = run("demo", "--namesrv", own.namesrv, directory=tmp_path)
    assert ended.code == 1
    assert "without a permission: are authenticationEnabled and authorizationEnabled both true?" in ended.err


def test_the_demo_needs_an_administrator(anonymous: Run) -> None:
    ended = anonymous("demo")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("mqguard: no permission: ")


def test_an_interrupted_demo_cleans_up(server: Server, admin: Run) -> None:
    before = admin("topic", "list").out, admin("user", "list").out
    variables = {
        "MQGUARD_NAMESRV": server.namesrv,
        "MQGUARD_ACCESS_KEY": SUPER,
        "MQGUARD_SECRET_KEY": SUPER_SECRET,
    }
    with subprocess.Popen([MQGUARD, "demo"], stdout=subprocess.PIPE, text=True, env=environment(**variables)) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith(" 1. create the topic")
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(20) in (0, 130)
    assert (admin("topic", "list").out, admin("user", "list").out) == before


def test_a_standalone_server_goes_on_after_its_demo(tmp_path: Path) -> None:
    words = [
        MQGUARD,
        "standalone",
        "--data",
        "data",
        "--port",
        "0",
        "--namesrv-port",
        "0",
        "--grpc-port",
        "0",
        "--demo",
    ]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment()
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("the demo is complete"):
                break
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    text = "".join(lines)
    assert (process.returncode, out) == (0, "")
    assert re.fullmatch(FIRST_CERTIFICATE, err)
    assert "denied: code 16: User:bob-" in text
    assert "to allow it: mqadmin updateAcl" in text
