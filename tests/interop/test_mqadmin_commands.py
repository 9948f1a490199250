"""All 96 commands of Apache's mqadmin 5.5.0: each works, or its error says why it has no meaning here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqguard.admin.task_rights import BY_NAME
from mqguard.model import properties
from tests.fixtures.access import ADMIN, create_topic, create_user, entry, expect, grant, send_fields
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import SEND, User, Wire
from tests.interop.conftest import DrivenClient, Drivers, Mqadmin

pytestmark = pytest.mark.xdist_group("java-5.5.0")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mqadmin.md"
DENIED = "CODE: 16"
OUTSIDER = User("outsider", "outsider-secret")


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Attributes:
        words: Command and options, without `-n`; names in braces are those of `Stage`.
        shows: Pattern that its output must contain.
        refused: Pattern that its error must contain, for a command without meaning here.
        denied: Pattern in the output or error for a user without permissions, empty for a command that sends no
            request at once. Some commands show a denial in words of their own.
        seconds: Time after which a command that never ends is interrupted.
    """

    words: str
    shows: str = ""
    refused: str = ""
    denied: str = DENIED
    seconds: int = 0

    @property
    def command(self) -> str:
        return self.words.split()[0]


C, B, A = "-c DefaultCluster", "-b {broker}", "-a {namesrv}"
NO_ROUTE, NO_BROKER = "not matched route info", r"The broker\[broker-a\] not exist"
NO_CONTROLLER = r"CODE: 3  DESC:  request type 10\d\d not supported"

RUNS = [
    Run(f"updateTopic {C} -t t_made -r 2 -w 2", r"create topic to \S+ success"),
    Run(f"updateTopicList {C} -f {{topics}}", r"submit batch of topic config to \S+ success"),
    Run(f"updateTopicPerm {C} -t {{topic}} -p 4", r"update topic perm from 6 to 4 in \S+ success"),
    Run(f"updateTopicPerm {B} -t {{topic}} -p 6", r"update topic perm from 4 to 6 in \S+ success"),
    Run(f"updateSubGroup {C} -g g_made", r"create subscription group to \S+ success"),
    Run(f"updateSubGroupList {C} -f {{groups}}", r"submit batch of subscription group config to \S+ success"),
    Run(f"setConsumeMode {C} -g {{group}} -t {{topic}} -m PULL -q 0", r"set consume mode to \S+ success"),
    Run(f"updateBrokerConfig {B} -k fileReservedTime -v 48", r"update broker config success"),
    Run(
        f"updateBrokerConfig {C} -k listenPort -v 1", refused=r"CODE: 16  DESC: the key `listenPort` cannot be changed"
    ),
    Run(f"getBrokerConfig {B}", r"fileReservedTime +=  48"),
    Run(f"getBrokerConfig {C}", r"initAuthenticationUser +=  \*+"),
    Run("topicRoute -t {topic}", r'"brokerName":"broker-a"'),
    Run("topicRoute -t {topic} -l", r"DefaultCluster +broker-a"),
    Run("topicStatus -t {topic}", r"broker-a +0 +0 +\d+"),
    Run("topicClusterList -t {topic}", r"DefaultCluster"),
    Run("topicList", r"(?m)^{topic}$"),
    Run("topicList -c", r"DefaultCluster +{topic} +{group}"),
    Run("addBroker -c {broker} -b /nowhere", refused=r"CODE: 3  DESC:  request type 902 not supported"),
    Run("removeBroker -c {broker} -b DefaultCluster:x:0", refused=r"CODE: 3  DESC:  request type 903 not supported"),
    Run(f"resetMasterFlushOffset {B} -o 0", r"reset master flush offset to 0 success"),
    Run(f"brokerStatus {B}", r"putMessageDistributeTime"),
    Run(f"brokerStatus {C}", r"commitLogDiskRatio +: 0\.\d+"),
    Run("queryMsgById -t {topic} -i {offset_id}", r"Topic: +{topic}", denied=NO_ROUTE),
    Run("queryMsgByKey -t {topic} -k key1", r"{unique_id}", denied=NO_ROUTE),
    Run("queryMsgByUniqueKey -t {topic} -i {unique_id}", r"Keys: +\[key1\]", denied=NO_ROUTE),
    Run("queryMsgByOffset -t {topic} -b broker-a -i 0 -o 0", r"OffsetID: +{offset_id}", denied=NO_BROKER),
    Run("queryMsgTraceById -i {unique_id}", r"Pub +\S+ +\S+|#Type", denied="CODE: 208"),
    Run("printMsg -t {topic} -d true", r"MSGID: {unique_id}"),
    Run("printMsgByQueue -t {topic} -a broker-a -i 0 -p true -f true", r"Tag: atag +Count: 1", denied=NO_BROKER),
    Run("sendMsgStatus -b broker-a -c 2", r"sendStatus=SEND_OK"),
    Run("sendMessage -t {topic} -p hello", r"broker-a +\d +SEND_OK"),
    Run("consumeMessage -t {topic} -b broker-a -i 0 -o 0 -c 1", r"Consume ok", denied=NO_BROKER),
    Run("checkMsgSendRT -t {topic} -a 2", r"broker-a +\d+ +true", denied=r"broker-a +0 +false"),
    Run("clusterRT -a 2 -i 1 -c DefaultCluster", r"DefaultCluster +broker-a +\S+ +2 +0", seconds=2),
    Run(f"brokerConsumeStats {B}", r"{topic} +{group} +broker-a +0"),
    Run("producerConnection -g p_stage -t {topic}", r"JAVA +V5_5_0"),
    Run("consumerConnection -g {group}", r"{topic} +\*"),
    Run("consumerProgress", r"{group} +1 +V5_5_0 +PUSH"),
    Run("consumerProgress -g {group}", r"{topic} +broker-a +0"),
    # Without `-i` it writes a file into the working directory.
    Run("consumerStatus -g {group} -i {client}", r"#Consumer Subscription#"),
    Run("cloneGroupOffset -s {group} -d g_clone -t {topic} -o true", r"clone group offset success"),
    Run(f"producer {B}", r"producer group \(p_stage\) instance"),
    Run("clusterList", r"DefaultCluster +broker-a +0 +{broker} +V5_5_0 .* true"),
    Run("clusterList -m", r"DefaultCluster +broker-a +\d+ +\d+ +\d+ +\d+"),
    Run("updateKvConfig -s NS -k k -v v", r"create or update kv config to namespace success"),
    Run("deleteKvConfig -s NS -k k", r"delete kv config from namespace success"),
    Run("wipeWritePerm -b broker-a", r"wipe write perm of broker\[broker-a\] in name server\S+ OK, \d+"),
    Run("addWritePerm -b broker-a", r"add write perm of broker\[broker-a\] in name server\S+ OK, \d+"),
    Run("resetOffsetByTime -g {group} -t {topic} -s now", r"broker-a +0 +\d+"),
    Run("skipAccumulatedMessage -g {group} -t {topic}", r"broker-a +0 +\d+"),
    Run("updateOrderConf -t {topic} -m put -v broker-a:4", r"update orderConf success"),
    Run("updateOrderConf -t {topic} -m get", r"orderConf=\[broker-a:4\]"),
    Run("updateOrderConf -t {topic} -m delete", r"delete orderConf success"),
    Run(f"cleanExpiredCQ {B}", r"success"),
    Run(f"cleanExpiredCQ {C}", r"success", denied=r"^false"),
    Run(f"deleteExpiredCommitLog {B}", r"success"),
    Run(f"cleanUnusedTopic {B}", r"success"),
    Run("statsAll -t {topic}", r"{topic} +{group} +\d+ +\d+\.\d\d +\d+\.\d\d"),
    Run("allocateMQ -t {topic} -i 10.0.0.1,10.0.0.2", r'"10.0.0.1":\[\{{"brokerName":"broker-a"'),
    Run("getNamesrvConfig", r"namesrvListenPort +=  \d+"),
    Run("updateNamesrvConfig -k a -v b", refused=r"CODE: 16  DESC: the name server's configuration cannot be changed"),
    Run("getConsumerConfig -g {group}", r"groupName += +{group}|{group}"),
    Run(f"queryCq -t {{topic}} -q 0 -i 0 -c 1 {B}", r"ConsumeQueueData\{{physicOffset=\d+"),
    Run(f"updateStaticTopic {C} -t t_static -qn 4", refused=r"CODE: 3  DESC: static topics are not supported"),
    Run(f"remappingStaticTopic {C} -t t_static", refused=r"No topic route to do the remapping"),
    Run(f"exportMetadata {C} -f {{directory}}", r"export \S+/metadata.json success"),
    Run(f"exportConfigs {C} -f {{directory}}", r"export \S+/configs.json success"),
    Run(f"exportMetrics {C} -f {{directory}}", r"export \S+/metrics.json success"),
    Run("exportMetadataInRocksDB -p {directory}/nothing -t topics", r"RocksDB path is invalid", denied=""),
    Run(f"haStatus {B}", r"#SlaveNum\s+0"),
    Run(f"haStatus {C}", r"#MasterAddr\s+{broker}"),
    Run(f"getSyncStateSet {A} -b broker-a", refused=NO_CONTROLLER),
    Run(f"getBrokerEpoch {C}", refused=r"CODE: 1  DESC: this request only for controllerMode"),
    Run(f"getControllerMetaData {A}", refused=NO_CONTROLLER),
    Run(f"getControllerConfig {A}", refused=NO_CONTROLLER),
    Run(f"updateControllerConfig {A} -k a -v b", refused=NO_CONTROLLER),
    Run(f"electMaster {A} -b 0 -bn broker-a {C}", refused=NO_CONTROLLER),
    Run(f"cleanBrokerMetadata {A} -bn broker-a {C} -l", refused=NO_CONTROLLER),
    Run("dumpCompactionLog -f {directory}/nothing", refused=r"file \S+ not exist", denied=""),
    Run(f"getColdDataFlowCtrInfo {B}", r'"runtimeTable":\{{\}}'),
    Run(
        f"updateColdDataFlowCtrGroupConfig {B} -g {{group}} -v 1000",
        refused=r"CODE: 3  DESC: this broker does not slow down reads of old messages",
    ),
    Run(
        f"removeColdDataFlowCtrGroupConfig {B} -g {{group}}",
        refused=r"CODE: 3  DESC: this broker does not slow down reads of old messages",
    ),
    Run(f"setCommitLogReadAheadMode {B} -m 1", r"mode 1 has no effect: this broker has no commit log files"),
    Run(f"createUser {C} -u u_made -p a-long-secret-1", r"create user to \S+ success"),
    Run(f"updateUser {C} -u u_made -s disable", r"update user to \S+ success"),
    Run(f"getUser {C} -u u_made", r"u_made +\S+ +Normal +disable"),
    Run(f"listUser {C}", r"u_made +\S+ +Normal +disable"),
    Run(f"createAcl {C} -s User:u_made -r Topic:x -a Pub -d Allow", r"create acl to \S+ success"),
    Run(f"updateAcl {C} -s User:u_made -r Topic:x -a Sub -d Allow", r"update acl to \S+ success"),
    Run(f"getAcl {C} -s User:u_made", r"User:u_made +Custom +Topic:x +\[Sub\]"),
    Run(f"listAcl {C}", r"User:u_made +Custom +Topic:x +\[Sub\]"),
    Run("copyUser -f {broker} -t {broker} -u u_made", r"copy user of u_made from \S+ to \S+ success"),
    Run("copyAcl -f {broker} -t {broker} -s User:u_made", r"copy acl of User:u_made from \S+ to \S+ success"),
    Run(f"deleteAcl {C} -s User:u_made", r"delete acl to \S+ success"),
    Run(f"deleteUser {C} -u u_made", r"delete user to \S+ success"),
    Run(f"rocksDBConfigToJson {C}", r"broker export done"),
    Run(f"checkRocksdbCqWriteProgress {C} -t {{topic}}", r"broker-a check|check success|\S"),
    Run(f"switchTimerEngine {B} -e F", r"switchTimerEngine to FILE_TIME_WHEEL success"),
    Run(f"switchTimerEngine {B} -e R", refused=r"CODE: 29  DESC: this broker has one store of timed messages"),
    Run(f"exportPopRecord {B} -d true", r"Export broker records"),
    Run(
        f"getBrokerLiteInfo {B} -d",
        r'{broker} +\S+ +20000 +2 +3 [\s\S]*"{parent}":-1[\s\S]*"{parent}":\["{lite_group}"\]',
    ),
    Run("getParentTopicInfo -p {parent}", r"broker-a +-1 +2 +2 +\[{lite_group}\]"),
    Run("getLiteTopicInfo -p {parent} -l a -s", r"broker-a +0 +2 +\S+ \S+ +true +1\s+\[c1@{lite_group}\]"),
    Run("getLiteClientInfo -p {parent} -g {lite_group} -c c1 -s", r"broker-a +2 [\s\S]*%LMQ%\${parent}\$a"),
    Run("getLiteGroupInfo -p {parent} -g {lite_group}", r"Total Lag Count: 2\s[\s\S]*1 +a +2 "),
    Run("getLiteGroupInfo -p {parent} -g {lite_group} -l a", r"broker-a +2 +0 +2 "),
    Run("triggerLiteDispatch -p {parent} -g {lite_group}", r"broker-a +dispatched"),
    Run("triggerLiteDispatch -p {parent} -g {lite_group} -c c1", r"broker-a +dispatched"),
    Run(f"deleteSubGroup {C} -g g_made -r true", r"delete subscription group \[g_made\] from broker"),
    Run(f"deleteTopic {C} -t t_made", r"delete topic \[t_made\] from cluster \[DefaultCluster\] success"),
    # It goes on in threads of its own, which end with the driver.
    Run("startMonitoring", denied=""),
]


@dataclass(frozen=True)
class Stage:
    """Objects that the commands need.

    Attributes:
        client: Super user with mqadmin.
        names: Values of the names in braces.
    """

    client: DrivenClient
    names: dict[str, str]

    def run(self, run: Run, client: DrivenClient | None = None) -> Mqadmin:
        words = run.words.format(**self.names).split()
        client = client or self.client
        answer = client.do(
            "mqadmin", arguments="\x1f".join([*words, "-n", client.server.namesrv]), seconds=run.seconds, wait=60
        )
        return Mqadmin(answer["out"], answer["err"])

    def pattern(self, text: str) -> str:
        names = {name: re.escape(value) for name, value in self.names.items()}
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        return text.replace("{{", "{").replace("}}", "}")


@pytest.fixture(scope="module")
def stage(drivers: Drivers, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Create a topic with a traced message, a running consumer and a connected producer."""
    client = DrivenClient(drivers.get("5.5.0"), server)
    directory = tmp_path_factory.mktemp("mqadmin")
    topic, group = "t_stage", "g_stage"
    client.mqadmin("updateTopic", "-n", server.namesrv, "-c", "DefaultCluster", "-t", topic, "-r", "1", "-w", "1")
    client.mqadmin("updateSubGroup", "-n", server.namesrv, "-c", "DefaultCluster", "-g", group)
    words = ("-t", topic, "-p", "hello", "-k", "key1", "-c", "atag", "-m", "true")
    sent = client.mqadmin("sendMessage", "-n", server.namesrv, *words)
    found = re.search(r"SEND_OK\s+(\S+)", sent.out)
    assert found, sent
    client.do("send", topic=topic, group="p_stage", count=1)
    client.do("consume", handle="stage", topic=topic, group=group)
    client.do("received", handle="stage", count=2)
    at_zero = client.mqadmin(
        "queryMsgByOffset", "-n", server.namesrv, "-t", topic, "-b", "broker-a", "-i", "0", "-o", "0"
    )
    offset_id = re.search(r"OffsetID:\s+(\S+)", at_zero.out)
    assert offset_id, at_zero
    (directory / "topics.json").write_text(json.dumps([{"topicName": "t_listed", "perm": 6}]))
    (directory / "groups.json").write_text(json.dumps([{"groupName": "g_listed"}]))
    names = {
        "broker": server.broker,
        "namesrv": server.namesrv,
        "topic": topic,
        "group": group,
        "unique_id": found[1],
        "offset_id": offset_id[1],
        "directory": str(directory),
        "topics": str(directory / "topics.json"),
        "groups": str(directory / "groups.json"),
        "client": "",
        "parent": "t_lite",
        "lite_group": "g_lite",
    }

    def consumer() -> str:
        listed = client.mqadmin("consumerConnection", "-n", server.namesrv, "-g", group).out
        connected = re.search(r"(?m)^(\S+@\S+)\s", listed)
        return connected[1] if connected else ""

    def committed() -> bool:
        progress = client.mqadmin("consumerProgress", "-n", server.namesrv, "-g", group)
        return any(row[0] == topic and row[3:5] == ["2", "2"] for row in progress.rows)

    assert eventually(committed)
    names["client"] = consumer()
    with Wire(server.broker_port, ADMIN) as admin:
        create_user(admin, OUTSIDER.name, OUTSIDER.secret)
        consume_lite_topics(admin, "t_lite", "g_lite")
    yield Stage(client, names)
    client.do("stop", handle="stage")


def consume_lite_topics(admin: Wire, parent: str, group: str) -> None:
    """Send three messages to two lite topics, and take one of them as the client `c1`."""
    create_topic(admin, parent, 1, "LITE")
    body = {"groupName": group, "attributes": {"+lite.bind.topic": parent}}
    expect(admin.call(200, {}, json.dumps(body).encode()))
    for lite in "aba":
        expect(admin.call(SEND, send_fields(parent, 0, properties.text_of({"__LITE_TOPIC": lite})), b"x"))
    change = {"action": "COMPLETE_ADD", "clientId": "c1", "group": group, "topic": parent, "liteTopicSet": ["a", "b"]}
    expect(admin.call(200071, {}, json.dumps({"subscriptionSet": [change]}).encode()))
    fields = {"clientId": "c1", "consumerGroup": group, "topic": parent, "maxMsgNum": "1", "invisibleTime": "600000"}
    expect(admin.call(200070, {**fields, "pollTime": "0", "bornTime": "0"}))


def test_the_runs_and_the_page_have_every_command(stage: Stage) -> None:
    """The list of mqadmin itself is the measure."""
    answer = stage.client.do("mqadmin", arguments="")
    listed = set(re.findall(r"(?m)^   (\w+) ", answer["out"]))
    assert len(listed) == 96
    assert {run.command for run in RUNS} == listed
    rows = re.findall(r"(?m)^\| `(\w+)` \| (?:works|differs|no meaning) \|", PAGE.read_text(encoding="utf-8"))
    assert sorted(rows) == sorted(listed)


def _messages(errors: str) -> str:
    return "\n".join(line for line in errors.splitlines() if not line.startswith("\t"))


def test_every_command_works_or_says_why_not(stage: Stage) -> None:
    """The commands run in the order of the list, because some need what others have made."""
    failed = []
    for run in RUNS:
        printed = stage.run(run)
        shown = bool(run.shows) and re.search(stage.pattern(run.shows), printed.out) is not None
        is_clean = "Exception" not in printed.err or run.seconds > 0
        refused = bool(run.refused) and re.search(stage.pattern(run.refused), printed.err) is not None
        if not (refused or (shown and is_clean) or (not run.shows and not run.refused and is_clean)):
            failed.append((run.words, printed.out[-1000:], _messages(printed.err)))
    assert not failed, "\n".join(map(repr, failed))


def test_a_user_without_permissions_is_denied_every_command(stage: Stage) -> None:
    allowed = []
    for run in RUNS:
        if not run.denied:
            continue
        printed = stage.run(run, stage.client.as_(OUTSIDER))
        if not re.search(run.denied, printed.out + printed.err) or "success" in printed.out.replace(
            "#successCount", ""
        ):
            allowed.append((run.words, printed.out[-1000:], _messages(printed.err)))
    assert not allowed, "\n".join(map(repr, allowed))


READS = [
    Run("clusterList", r"DefaultCluster +broker-a"),
    Run("topicList -c", r"DefaultCluster +{topic} +{group}"),
    Run("topicStatus -t {topic}", r"broker-a +0 +0 +\d+"),
    Run("statsAll -a", r"{topic} +{group} +\d+ +\d+\.\d\d +\d+\.\d\d +\d+ +\d+"),
    Run("consumerProgress -g {group}", r"Consume TPS: \d+\.\d+"),
    Run("consumerConnection -g {group}", r"{topic} +\*"),
    Run("consumerStatus -g {group} -i {client}", r"#Consumer Subscription#"),
    Run(f"producer {B}", r"CLIENT_INNER_PRODUCER"),
    Run(f"brokerStatus {B}", r"putMessageDistributeTime"),
    Run(f"brokerConsumeStats {B}", r"{topic} +{group}"),
]
"""Commands with all requests of Apache's exporter and of its dashboard, which change nothing."""


def test_the_permissions_of_an_exporter_are_enough_to_read_everything(stage: Stage) -> None:
    """The user has the permissions of docs/rights-by-task.md for exporters, and no others."""
    watch = User("watch", "watch-secret")
    task = BY_NAME["exporter"]
    with Wire(stage.client.server.broker_port, ADMIN) as admin:
        create_user(admin, watch.name, watch.secret)
        grant(admin, watch.name, *[entry(*permission) for permission in task.filled(cluster="DefaultCluster")])
    client = stage.client.as_(watch)
    printed: list[Mqadmin] = []

    def shows(run: Run) -> bool:
        printed.append(stage.run(run, client))
        return re.search(stage.pattern(run.shows), printed[-1].out) is not None

    for run in READS:
        # `statsAll -a` leaves out topics until the server has taken the first sample of its numbers.
        assert eventually(lambda run=run: shows(run), seconds=60, pause=1), (run.words, printed[-1])
        assert "Exception" not in printed[-1].err, (run.words, printed[-1])
    refused = stage.run(Run(f"updateTopic {B} -t t_of_watch"), client)
    assert DENIED in refused.err


NEEDS = {
    "updateTopic": "Cluster: Get; Topic:t_made: Create,Update",
    "updateTopicList": "Cluster: Get; Topic:t_listed: Create,Update",
    "updateTopicPerm": "Cluster: Get; Topic:{topic}: Get,Update",
    "topicRoute": "Topic:{topic}: Pub",
    "topicStatus": "Topic:{topic}: Get",
    "topicClusterList": "Cluster: Get; Topic:{topic}: Sub",
    "topicList": "Cluster: Get; Topic:*: Get",
    "allocateMQ": "Topic:{topic}: Sub",
    "statsAll": "Cluster: Get,List; Topic:*: Get; Group:*: Get",
    "updateSubGroup": "Cluster: Get; Group:g_made: Create,Update",
    "updateSubGroupList": "Cluster: Get; Group:g_listed: Create,Update",
    "getConsumerConfig": "Cluster: Get,List",
    "consumerProgress": "Cluster: Get,List; Topic:*: Get; Group:*: Get",
    "consumerStatus": "Group:{group}: Get",
    "resetOffsetByTime": "Topic:{topic}: Get,Update; Group:{group}: Update",
    "skipAccumulatedMessage": "Topic:{topic}: Get,Update; Group:{group}: Update",
    "producerConnection": "Cluster: Get; Topic:{topic}: Pub",
    "producer": "Cluster: Get",
    "queryMsgById": "Topic:{topic}: Get",
    "queryMsgByKey": "Topic:{topic}: Sub",
    "queryMsgByUniqueKey": "Topic:{topic}: Get",
    "queryMsgByOffset": "Topic:{topic}: Sub,Get; Group:TOOLS_CONSUMER: Sub",
    "queryMsgTraceById": "Topic:RMQ_SYS_TRACE_TOPIC: Sub",
    "printMsg": "Topic:{topic}: Sub; Group:TOOLS_CONSUMER: Sub",
    "printMsgByQueue": "Topic:{topic}: Sub; Group:TOOLS_CONSUMER: Sub",
    "sendMessage": "Topic:{topic}: Pub",
    "consumeMessage": "Topic:{topic}: Sub; Group:TOOLS_CONSUMER: Sub",
    "sendMsgStatus": "Topic:broker-a: Pub",
    "checkMsgSendRT": "Topic:{topic}: Pub",
    "queryCq": "Topic:{topic}: Get",
    "brokerStatus": "Cluster: Get",
    "brokerConsumeStats": "Cluster: Get",
    "clusterList": "Cluster: Get",
    "cleanExpiredCQ": "Cluster: Get,Update",
    "cleanUnusedTopic": "Cluster: Get,Update",
    "deleteExpiredCommitLog": "Cluster: Get,Update",
    "exportMetadata": "Cluster: Get,List",
    "haStatus": "Cluster: Get",
    "getColdDataFlowCtrInfo": "Cluster: Get",
    "createUser": "Cluster: Get,Update",
    "updateUser": "Cluster: Get,Update",
    "getUser": "Cluster: Get",
    "listUser": "Cluster: Get",
    "copyUser": "Cluster: Get,Update",
    "deleteUser": "Cluster: Get,Update",
}
"""Permissions of a Normal user that are enough for a command, as the page says."""


def test_the_permissions_of_the_page_are_enough(stage: Stage) -> None:
    """Each command runs as a user of its own, who has these permissions and no others."""
    failed = []
    with Wire(stage.client.server.broker_port, ADMIN) as admin:
        for number, run in enumerate(run for run in RUNS if run.command in NEEDS and not run.refused):
            user = User(f"needs{number}", f"needs{number}-secret")
            create_user(admin, user.name, user.secret)
            for need in NEEDS[run.command].format(**stage.names).split("; "):
                resource, _, actions = need.rpartition(": ")
                named = resource if ":" in resource else f"{resource}:DefaultCluster"
                grant(admin, user.name, entry(named, actions))
            printed = stage.run(run, stage.client.as_(user))
            if not re.search(stage.pattern(run.shows), printed.out) or "Exception" in printed.err:
                failed.append((run.words, NEEDS[run.command], printed.out[-500:], _messages(printed.err)))
    assert not failed, "\n".join(map(repr, failed))
