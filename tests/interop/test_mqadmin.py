"""Apache's own mqadmin 5.5.0 administers users, policies, topics, groups and messages of the server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, disable_user, entry, grant
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import LIST_ACLS, LIST_USERS, User, Wire
from tests.interop.conftest import DrivenClient, Mqadmin

pytestmark = pytest.mark.xdist_group("java-5.5.0")

Name = Callable[[str], str]
CLUSTER = ("-c", "DefaultCluster")
USER_HEAD = ["#UserName", "#Password", "#UserType", "#UserStatus"]
ACL_HEAD = ["#Subject", "#PolicyType", "#Resource", "#Actions", "#SourceIp", "#Decision"]


@pytest.fixture
def admin_tool(java5: DrivenClient) -> Callable[..., Mqadmin]:
    """Return a function that runs mqadmin as the Super user at the module's name server."""
    return tool(java5)


def tool(client: DrivenClient) -> Callable[..., Mqadmin]:
    """Return a function that runs mqadmin as the client's user at the client's name server."""
    return lambda command, *words: client.mqadmin(command, "-n", client.server.namesrv, *words)


def users(printed: Mqadmin) -> list[tuple[str, str, str]]:
    """Return name, type and status of a table of users, and check its exact form."""
    lines = [line for line in printed.out.splitlines() if line and not line.startswith("get user from")]
    if not lines:
        return []
    assert lines[0] == f"{USER_HEAD[0]:<16}  {USER_HEAD[1]:<22}  {USER_HEAD[2]:<22}  {USER_HEAD[3]:<22}"
    found = []
    for line in lines[1:]:
        name, secret, kind, status = line.split()
        assert line == f"{name:<16}  {secret:<22}  {kind:<22}  {status:<22}"
        found.append((name, kind, status))
    return found


def acls(printed: Mqadmin) -> list[tuple[str, ...]]:
    """Return the rows of a table of policies, and check its exact form."""
    lines = [line for line in printed.out.splitlines() if line]
    if not lines:
        return []
    assert re.split(r"\s+", lines[0].strip()) == ACL_HEAD
    rows: list[tuple[str, ...]] = []
    for line in lines[1:]:
        cells = tuple(re.split(r"\s{2,}", line.strip()))
        assert len(cells) == 6, line
        assert line == "{:<16}  {:<10}  {:<22}  {:<20}  {:<24}  {:<10}".format(*cells)
        rows.append(cells)
    return rows


def succeeded(printed: Mqadmin, line: str) -> None:
    assert line in printed.out, (printed.out, printed.err[:2000])
    assert "Exception" not in printed.err, printed.err[:2000]


class TestUsersAndPolicies:
    """The twelve auth commands, with the examples of the documentation of ACL 2.0."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def administrator(cls, server: Server) -> Iterator[User]:
        """Create another Super user, so that the examples can create and delete `rocketmq`."""
        admin = User("admin", "admin-secret")
        with Wire(server.broker_port, ADMIN) as wire:
            create_user(wire, admin.name, admin.secret, "Super")
        with Wire(server.broker_port, admin) as wire:
            wire.call(3003, {"username": "rocketmq"})
            yield admin
            create_user(wire, ADMIN.name, ADMIN.secret, "Super")

    @pytest.fixture
    def run(self, java5: DrivenClient, administrator: User) -> Callable[..., Mqadmin]:
        return tool(java5.as_(administrator))

    def test_the_examples_of_the_documentation(self, java5: DrivenClient, run: Callable[..., Mqadmin]) -> None:
        broker = java5.server.broker

        succeeded(
            run("createUser", *CLUSTER, "-u", "rocketmq", "-p", "rocketmq", "-t", "Super"),
            f"create user to {broker} success.",
        )
        assert users(run("getUser", *CLUSTER, "-u", "rocketmq")) == [("rocketmq", "Super", "enable")]
        succeeded(run("updateUser", *CLUSTER, "-u", "rocketmq", "-p", "12345678"), f"update user to {broker} success.")
        assert users(tool(java5)("listUser", *CLUSTER, "-f", "mq")) == [("rocketmq", "Super", "enable")]

        acl = ("-s", "User:rocketmq", "-r", "Topic:*,Group:*", "-a", "Pub,Sub", "-i", "192.168.1.0/24")
        succeeded(run("createAcl", *CLUSTER, *acl, "-d", "Allow"), f"create acl to {broker} success.")
        row = ("User:rocketmq", "Custom", "Topic:*", "[Pub, Sub]", "[192.168.1.0/24]")
        group = ("User:rocketmq", "Custom", "Group:*", "[Pub, Sub]", "[192.168.1.0/24]")
        assert acls(run("getAcl", *CLUSTER, "-s", "User:rocketmq")) == [(*row, "Allow"), (*group, "Allow")]
        succeeded(run("updateAcl", *CLUSTER, *acl, "-d", "Deny"), f"update acl to {broker} success.")
        assert acls(run("listAcl", *CLUSTER, "-s", "User:rocketmq", "-r", "Topic:*")) == [(*row, "Deny")]

        succeeded(
            run("copyUser", "-f", broker, "-t", broker, "-u", "rocketmq"),
            f"copy user of rocketmq from {broker} to {broker} success.",
        )
        succeeded(
            run("copyAcl", "-f", broker, "-t", broker, "-s", "User:rocketmq"),
            f"copy acl of User:rocketmq from {broker} to {broker} success.",
        )
        assert users(tool(java5)("getUser", *CLUSTER, "-u", "rocketmq")) == [("rocketmq", "Super", "enable")]
        assert acls(run("getAcl", *CLUSTER, "-s", "User:rocketmq")) == [(*row, "Deny"), (*group, "Deny")]

        succeeded(
            run("deleteAcl", *CLUSTER, "-s", "User:rocketmq", "-r", "Topic:*"), f"delete acl to {broker} success."
        )
        assert acls(run("getAcl", *CLUSTER, "-s", "User:rocketmq")) == [(*group, "Deny")]
        succeeded(run("deleteUser", *CLUSTER, "-u", "rocketmq"), f"delete user to {broker} success.")
        assert users(run("getUser", *CLUSTER, "-u", "rocketmq")) == []
        assert users(run("listUser", *CLUSTER, "-f", "mq")) == []

    def test_the_options_by_broker(self, java5: DrivenClient, run: Callable[..., Mqadmin], name: Name) -> None:
        broker, who = ("-b", java5.server.broker), name("user")

        run("createUser", *broker, "-u", who, "-p", "p", "-t", "Normal")
        assert users(run("getUser", *broker, "-u", who)) == [(who, "Normal", "enable")]
        run("updateUser", *broker, "-u", who, "-s", "disable")
        assert users(run("listUser", *broker, "-f", who)) == [(who, "Normal", "disable")]
        run("updateUser", *broker, "-u", who, "-t", "Super")
        run("updateUser", *broker, "-u", who, "-s", "enable")
        assert users(run("getUser", *broker, "-u", who)) == [(who, "Super", "enable")]
        run("createAcl", *broker, "-s", f"User:{who}", "-r", "Topic:a*", "-a", "All", "-d", "Allow")
        assert acls(run("listAcl", *broker, "-s", who)) == [
            (f"User:{who}", "Custom", "Topic:a*", "[All]", "null", "Allow")
        ]
        run("deleteAcl", *broker, "-s", f"User:{who}")
        assert acls(run("getAcl", *broker, "-s", f"User:{who}")) == []
        run("deleteUser", *broker, "-u", who)

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (("createUser", "-u", "admin", "-p", "x"), "CODE: 16  DESC: The user is existed"),
            (("updateUser", "-u", "ghost", "-p", "x"), "CODE: 16  DESC: The user is not exist"),
            (
                ("createAcl", "-s", "User:ghost", "-r", "Topic:*", "-a", "Pub", "-d", "Allow"),
                "CODE: 16  DESC: The subject of User:ghost is not exist.",
            ),
            (
                ("createAcl", "-s", "User:admin", "-r", "Foo:*", "-a", "Pub", "-d", "Allow"),
                "CODE: 16  DESC: The resource is null.",
            ),
            (
                ("createAcl", "-s", "User:admin", "-r", "Topic:*", "-a", "Pub", "-d", "Perhaps"),
                "CODE: 16  DESC: The decision is null or illegal.",
            ),
            (
                ("createAcl", "-s", "User:admin", "-r", "Topic:*", "-a", "Pub", "-i", "1.2.3.4/33", "-d", "Allow"),
                "CODE: 16  DESC: The source ip is invalid.",
            ),
            (("deleteAcl", "-s", "User:ghost"), "CODE: 16  DESC: The subject is not exist."),
        ],
    )
    def test_wrong_arguments_are_reported(self, run: Callable[..., Mqadmin], words: tuple[str, ...], why: str) -> None:
        printed = run(words[0], *CLUSTER, *words[1:])

        assert "success" not in printed.out
        assert why in printed.err


def test_copy_user_creates_a_working_user_at_another_mqguard(
    java5: DrivenClient, server: Server, admin: Wire, name: Name, tmp_path: Path
) -> None:
    user = User(name("user"), "copied-secret")
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, entry("Topic:copied", "Pub,Sub"))
    with Server(tmp_path / "other") as other, Wire(other.broker_port, ADMIN) as there:
        create_topic(there, "copied", 1)
        printed = tool(java5)("copyUser", "-f", server.broker, "-t", other.broker, "-u", user.name)
        succeeded(printed, f"copy user of {user.name} from {server.broker} to {other.broker} success.")
        printed = tool(java5)("copyAcl", "-f", server.broker, "-t", other.broker, "-s", f"User:{user.name}")
        succeeded(printed, f"copy acl of User:{user.name} from {server.broker} to {other.broker} success.")

        copied = DrivenClient(java5.driver, other, user)
        assert copied.do("send", topic="copied", body="hello")["results"][0]["status"] == "SEND_OK"
        assert not copied.as_(User(user.name, "wrong")).call("send", topic="copied", body="no")["ok"]


def test_no_answer_shows_a_secret(admin_tool: Callable[..., Mqadmin], admin: Wire, name: Name) -> None:
    who = name("user")
    create_user(admin, who, "do-not-show-me")

    printed = admin_tool("listUser", *CLUSTER)

    assert who in printed.out
    assert "do-not-show-me" not in printed.out
    assert b"do-not-show-me" not in admin.call(LIST_USERS, {"filter": ""}).body
    assert "12345678" not in printed.out


class TestTopicsAndGroups:
    """Commands of everyday administration."""

    def test_the_cluster_is_listed(self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin]) -> None:
        printed = admin_tool("clusterList")

        assert printed.rows[0][:6] == ["#Cluster", "Name", "#Broker", "Name", "#BID", "#Addr"]
        assert printed.rows[1][:4] == ["DefaultCluster", java5.server.broker_name, "0", java5.server.broker]
        assert printed.rows[1][-1] == "true"

    def test_the_broker_reports_its_state(self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin]) -> None:
        printed = admin_tool("brokerStatus", "-b", java5.server.broker)

        state = dict(line.split(":", 1) for line in printed.out.splitlines() if ":" in line)
        keys = {key.strip() for key in state}
        assert {"bootTimestamp", "brokerVersionDesc", "msgPutTotalTodayNow", "putTps", "getTransferredTps"} <= keys
        assert "Exception" not in printed.err

    def test_a_topic_is_created_changed_and_deleted(
        self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin], name: Name
    ) -> None:
        topic, broker = name("topic"), java5.server.broker

        printed = admin_tool("updateTopic", *CLUSTER, "-t", topic, "-r", "4", "-w", "4")
        succeeded(printed, f"create topic to {broker} success.")
        assert f"topicName={topic}, readQueueNums=4, writeQueueNums=4, perm=RW-" in printed.out
        assert topic in admin_tool("topicList").out.split()
        assert admin_tool("topicClusterList", "-t", topic).out.strip() == "DefaultCluster"

        route = admin_tool("topicRoute", "-t", topic).out
        assert '"readQueueNums":4' in route
        assert f'0:"{broker}"' in route

        java5.do("send", topic=topic, mode="ordered", shards=4, count=8)
        status = admin_tool("topicStatus", "-t", topic)
        rows = [row for row in status.rows if row[0] == java5.server.broker_name]
        assert [row[1:4] for row in rows] == [[str(queue), "0", "2"] for queue in range(4)], status

        printed = admin_tool("deleteTopic", *CLUSTER, "-t", topic)
        succeeded(printed, f"delete topic [{topic}] from cluster [DefaultCluster] success.")
        succeeded(printed, f"delete topic [{topic}] from NameServer success.")
        assert topic not in admin_tool("topicList").out.split()

    def test_a_group_is_created_changed_and_deleted(
        self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin], name: Name
    ) -> None:
        topic, group, broker = name("topic"), name("group"), java5.server.broker
        admin_tool("updateTopic", *CLUSTER, "-t", topic, "-r", "1", "-w", "1")

        printed = admin_tool("updateSubGroup", *CLUSTER, "-g", group, "-r", "3")
        succeeded(printed, f"create subscription group to {broker} success.")
        assert f"SubscriptionGroupConfig{{groupName={group}," in printed.out
        assert "retryMaxTimes=3" in printed.out
        assert group in admin_tool("getConsumerConfig", "-g", group).out

        java5.do("send", topic=topic, count=6)
        java5.do("consume", handle="g", topic=topic, group=group)
        java5.do("received", handle="g", count=6)
        connection = admin_tool("consumerConnection", "-g", group)
        assert [topic, "*"] in connection.rows, connection
        assert "JAVA" in connection.out
        # The client commits its offsets every 5 s.
        assert eventually(lambda: any(row[0] == topic for row in admin_tool("consumerProgress", "-g", group).rows))
        java5.do("stop", handle="g")

        progress = admin_tool("consumerProgress", "-g", group)
        (row,) = [row for row in progress.rows if row[0] == topic]
        assert row[:5] == [topic, java5.server.broker_name, "0", "6", "6"], progress
        assert "Consume Diff Total: 0" in re.sub(r" +", " ", progress.out)
        assert group in admin_tool("consumerProgress").out

        succeeded(
            admin_tool("deleteSubGroup", "-b", broker, "-g", group),
            f"delete subscription group [{group}] from broker [{broker}] success.",
        )

    def test_a_reset_by_time_moves_the_group_back(
        self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin], name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        admin_tool("updateTopic", *CLUSTER, "-t", topic, "-r", "1", "-w", "1")
        java5.do("send", topic=topic, count=5, body="again")
        java5.do("consume", handle="first", topic=topic, group=group)
        java5.do("received", handle="first", count=5)
        java5.do("stop", handle="first")

        printed = admin_tool("resetOffsetByTime", "-g", group, "-t", topic, "-s", "0")
        assert [row for row in printed.rows if row[0] == java5.server.broker_name and row[1:] == ["0", "0"]], printed

        java5.do("consume", handle="second", topic=topic, group=group)
        messages = java5.do("received", handle="second", count=5)["messages"]
        java5.do("stop", handle="second")
        assert sorted(m["body"] for m in messages) == [f"again-{i}" for i in range(5)]

    def test_a_reset_reaches_a_running_consumer(
        self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin], name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        admin_tool("updateTopic", *CLUSTER, "-t", topic, "-r", "1", "-w", "1")
        java5.do("send", topic=topic, count=3)
        java5.do("consume", handle="live", topic=topic, group=group)
        java5.do("received", handle="live", count=3)

        admin_tool("resetOffsetByTime", "-g", group, "-t", topic, "-s", "0")
        messages = java5.do("received", handle="live", count=6, timeout=30000, wait=40)["messages"]
        java5.do("stop", handle="live")
        assert len(messages) == 6

    def test_the_broker_configuration_shows_no_secret(
        self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin]
    ) -> None:
        printed = admin_tool("getBrokerConfig", "-b", java5.server.broker)

        assert "brokerName" in printed.out
        assert "12345678" not in printed.out

    def test_security_cannot_be_switched_off_over_the_wire(
        self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin]
    ) -> None:
        printed = admin_tool(
            "updateBrokerConfig", "-b", java5.server.broker, "-k", "authenticationEnabled", "-v", "false"
        )

        assert "success" not in printed.out
        assert "CODE: " in printed.err
        assert not java5.as_(None).call("pull", topic="any", group="any", broker=java5.server.broker_name)["ok"]


class TestMessages:
    """Messages that mqadmin sends and shows."""

    def test_a_message_is_sent_read_and_found(
        self, java5: DrivenClient, admin_tool: Callable[..., Mqadmin], name: Name
    ) -> None:
        topic = name("topic")
        admin_tool("updateTopic", *CLUSTER, "-t", topic, "-r", "1", "-w", "1")

        printed = admin_tool("sendMessage", "-t", topic, "-p", "hello", "-k", "akey", "-c", "atag")
        (row,) = [row for row in printed.rows if row[0] == java5.server.broker_name]
        assert row[1:3] == ["0", "SEND_OK"], printed
        unique = row[3]
        assert "BODY: hello" in admin_tool("consumeMessage", "-t", topic).out
        assert "BODY: hello" in admin_tool("printMsg", "-t", topic).out

        (pulled,) = java5.do("pull", topic=topic, group=name("group"), broker=java5.server.broker_name)["messages"]
        assert pulled["msgId"] == unique
        by_key = admin_tool("queryMsgByKey", "-t", topic, "-k", "akey")
        assert [row[:3] for row in by_key.rows[1:]] == [[unique, "0", "0"]], by_key
        by_offset = admin_tool("queryMsgByOffset", "-t", topic, "-b", java5.server.broker_name, "-i", "0", "-o", "0")
        (offset_id,) = re.findall(r"OffsetID: +(\w+)", by_offset.out)
        for words in (
            ("queryMsgById", "-t", topic, "-i", unique),
            ("queryMsgById", "-t", topic, "-i", offset_id),
            ("queryMsgByUniqueKey", "-t", topic, "-i", unique),
        ):
            found = admin_tool(*words)
            flat = re.sub(r" +", " ", found.out)
            assert f"Topic: {topic}" in flat, (words, found)
            assert "Tags: [atag]" in flat, (words, found)
            assert "Queue Offset: 0" in flat, (words, found)


NORMAL_REFUSED = [
    ("createUser", *CLUSTER, "-u", "made_by_normal", "-p", "x"),
    ("updateUser", *CLUSTER, "-u", "rocketmq", "-p", "x"),
    ("deleteUser", *CLUSTER, "-u", "rocketmq"),
    ("getUser", *CLUSTER, "-u", "rocketmq"),
    ("listUser", *CLUSTER),
    ("createAcl", *CLUSTER, "-s", "User:norman", "-r", "Topic:*", "-a", "All", "-d", "Allow"),
    ("updateAcl", *CLUSTER, "-s", "User:norman", "-r", "Topic:*", "-a", "All", "-d", "Allow"),
    ("deleteAcl", *CLUSTER, "-s", "User:norman"),
    ("getAcl", *CLUSTER, "-s", "User:norman"),
    ("listAcl", *CLUSTER),
    ("updateTopic", *CLUSTER, "-t", "made_by_normal"),
    ("deleteTopic", *CLUSTER, "-t", "guarded"),
    ("topicStatus", "-t", "guarded"),
    ("topicRoute", "-t", "guarded"),
    ("topicList",),
    ("updateSubGroup", *CLUSTER, "-g", "made_by_normal"),
    ("consumerProgress", "-g", "guarded_group"),
    ("consumerConnection", "-g", "guarded_group"),
    ("resetOffsetByTime", "-g", "guarded_group", "-t", "guarded", "-s", "0"),
    ("queryMsgByKey", "-t", "guarded", "-k", "k"),
    ("consumeMessage", "-t", "guarded"),
    ("sendMessage", "-t", "guarded", "-p", "x"),
]


@pytest.fixture(scope="module")
def normal_users(server: Server) -> list[User | None]:
    """Create users that the server must refuse: without a policy, disabled, unknown, with a wrong secret, anonymous."""
    with Wire(server.broker_port, ADMIN) as admin:
        create_topic(admin, "guarded", 1)
        for name in ("norman", "diana"):
            create_user(admin, name, f"{name}-secret")
        disable_user(admin, "diana")
        grant(admin, "norman", entry("Topic:elsewhere", "Pub,Sub"))
    return [User("norman", "norman-secret")]


@pytest.mark.parametrize("words", NORMAL_REFUSED, ids=lambda words: words[0])
def test_a_normal_user_is_refused(
    java5: DrivenClient, server: Server, normal_users: list[User], words: tuple[str, ...]
) -> None:
    with Wire(server.broker_port, ADMIN) as admin:
        before = state(admin)
        for user in normal_users:
            printed = tool(java5.as_(user))(*words)
            assert "success" not in printed.out, (user, printed)
            assert "SEND_OK" not in printed.out
            assert "Exception" in printed.err, (user, printed)
        assert state(admin) == before


def state(admin: Wire) -> tuple[object, object]:
    """Return all users and policies, without secrets, whose sealed form differs in each answer."""
    listed = admin.call(LIST_USERS, {"filter": ""}).json()
    return [{**user, "password": ""} for user in listed], admin.call(LIST_ACLS, {}).body


@pytest.mark.parametrize(
    ("user", "why"),
    [
        pytest.param(User("diana", "diana-secret"), "User:diana is disabled.", id="disabled"),
        pytest.param(User("norman", "wrong"), "check signature failed.", id="wrong secret"),
        pytest.param(User("nobody", "x"), "", id="unknown"),
        pytest.param(None, "username cannot be null.", id="no credentials"),
    ],
)
@pytest.mark.usefixtures("normal_users")
def test_an_unknown_user_is_refused(java5: DrivenClient, server: Server, user: User | None, why: str) -> None:
    for words in (
        ("listUser", "-b", server.broker),
        ("createUser", "-b", server.broker, "-u", "intruder", "-p", "x", "-t", "Super"),
        ("updateTopic", "-b", server.broker, "-t", "intruder"),
        ("brokerStatus", "-b", server.broker),
    ):
        printed = tool(java5.as_(user))(*words)
        assert "success" not in printed.out
        assert "CODE: 16" in printed.err, (words, printed)
        assert why in printed.err, (words, printed)


def test_a_user_with_permissions_on_a_topic_administers_only_that_topic(
    java5: DrivenClient, admin: Wire, name: Name
) -> None:
    user = User(name("keeper"), "keeper-secret")
    mine, other = name("mine"), name("other")
    create_topic(admin, other, 1)
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, entry(f"Topic:{mine}", "Create,Get,Pub,Delete"), entry("Cluster:*", "Get"))
    run, broker = tool(java5.as_(user)), ("-b", java5.server.broker)

    succeeded(run("updateTopic", *broker, "-t", mine), "create topic to")
    assert "CODE: 16" in run("updateTopic", *broker, "-t", other).err
    assert "#Max Offset" in run("topicStatus", "-t", mine).out
    assert "#Max Offset" not in run("topicStatus", "-t", other).out
    assert "CODE: 16" in run("createUser", *broker, "-u", "eve", "-p", "x").err
    end = time.monotonic() + 5
    while mine not in tool(java5)("topicList").out.split():
        assert time.monotonic() < end
