"""Requests of every code, as anonymous, powerless and partly powerful senders, whatever they say.

No answer is over its limit, nothing grows that the sender may not make grow, and no request is an internal error.
"""

import json
import logging
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqguard.auth.user import UserType
from mqguard.dispatch.request import INTERNAL
from mqguard.dispatch.router import UNCHECKED
from mqguard.model import names
from mqguard.remoting.codes import FLAG_ONEWAY, OwnCode, RequestCode, ResponseCode
from mqguard.remoting.signed_content import FORMS
from tests.unit.broker.conftest import answer_to
from tests.unit.broker.test_any_input import BODIES, GOOD, NAMES, STRICT, USUAL, VALUES, furnish
from tests.unit.namesrv.conftest import Directory

MAX_REFUSAL = 4 * 1024
MAX_ANSWER = 1024 * 1024
OWN = "x"
"""The prefix of all resources on which `partly` has every permission."""
CODES = st.one_of(
    st.sampled_from([*RequestCode, *OwnCode]).map(int), st.sampled_from([0, 1, 99, -1, 2**31 - 1, 32_768])
)
POWERLESS = (None, "stranger", "liar", "poor")
WITHOUT_IDENTITY = (None, "stranger", "liar")
PARTLY = {
    "topic": "x1", "b": "x1", "group": "x1", "consumerGroup": "x1", "groupName": "x1", "srcGroup": "x1",
    "destGroup": "x2", "producerGroup": "x1", "defaultTopic": "TBW102", "c": "TBW102",
}  # fmt: skip
OWN_VALUES = st.sampled_from(["x1", "x2", "xnew", "%RETRY%x1", "%DLQ%x1", "%RETRY%g", "%RETRY%x1+t", "t", "g"])


def own(value):
    return json.loads(
        json.dumps(value).replace('"t"', '"x1"').replace('"g"', '"x1"').replace('"c1"', '"partly-client"')
    )


def filled(head, item, tail, size):
    count = (size - len(head) - len(tail)) // (len(item) + 1)
    return (head + ",".join(item.replace("@", str(number)) for number in range(count)) + tail).encode()


LARGE = [
    filled(head, item, tail, size)
    for size in (20_000, 250_000)
    for head, item, tail in (
        ('{"clientID":"x","consumerDataSet":[', '{"groupName":"x@"}', "]}"),
        ('{"clientID":"x","consumerDataSet":[{"groupName":"x","subscriptionDataSet":[', '{"topic":"x@"}', "]}]}"),
        ('{"consumerGroup":"x","clientId":"x","mqSet":[', '{"topic":"x@","brokerName":"b","queueId":0}', "]}"),
        ('{"brokerName":"b","acks":[', '{"c":"x","t":"x@","r":"0","so":0,"q":0,"rq":0,"pt":0,"it":0,"b":""}', "]}"),
        ('{"subscriptionSet":[', '{"topic":"x@","group":"x"}', "]}"),
        ('{"groupConfigList":[', '{"groupName":"x@"}', "]}"),
        ('{"topicConfigList":[', '{"topicName":"x@"}', "]}"),
        ("{'topic':'x',\"x\":[", "0", "]}"),
        ('{"a":', '{"$ref":"$"}', "}"),
    )
]
MORE_BODIES = st.one_of(
    BODIES,
    st.sampled_from([json.dumps(own(value)).encode() for value in (GOOD, *STRICT)]),
    st.sampled_from(LARGE),
    st.sampled_from([b"[" * 10_000, b"{'a':" * 2_000, b'{"a":' * 10_000, b"\xff" * 100, b"{" + b" " * 300_000]),
)


def fitted(code, ext, body):
    """Leave out what a code of a fixed form does not have, so that the request reaches its handler."""
    form = FORMS.get(code)
    if form is None:
        return ext, body
    return {name: value for name, value in ext.items() if name in form.fields}, body if form.has_body else b""


class NameServerAndBroker(Directory):
    """A name server and a broker, and every sender but a Super user."""

    def __init__(self):
        super().__init__(engine={"max_topics_per_user": 50, "max_groups_per_user": 50})
        self.user("poor")
        self.user("partly", ("Topic:x*", "All"), ("Group:x*", "All"))
        self.user("operator", ("Cluster:*", "All"))
        self.user("liar", ("*", "All"))
        for name in ("x1", "x2"):
            self.engine.groups.with_retry_topic(name)
        furnish(self)
        self.broker_app, self.namesrv_app = self.broker.application, self.app
        self._members = list(self.broker.clients.group("g").members.values())
        self._producers = self.broker.clients.producers("g")

    def wait(self):
        """Let all that waits end, and the live clients of `g` live on."""
        self.tick(61_000)
        for member in (*self._members, *self._producers):
            member.seen_ms = self.clock.now

    def as_sender(self, user, code, ext, body, flag):
        if user == "liar":
            return self.command(code, {**ext, "AccessKey": "liar", "Signature": "AAAA"}, body, user=None, flag=flag)
        return self.command(code, ext, body, user=user, flag=flag)

    def tables(self):
        """Everything that requests could make grow or change, by name."""
        engine, clients = self.engine, self.broker.clients
        return {
            "topics": {topic.name: topic for topic in engine.topics.all()},
            "groups": {group.name: group for group in engine.groups.all()},
            "offsets": {f"{group} {topic}": queues for (group, topic), queues in engine.offsets.everything().items()},
            "messages": {
                topic.name: [engine.max_offset(topic.name, queue_id) for queue_id in range(topic.queues)]
                for topic in engine.topics.all()
            },
            "live groups": {group.name: len(group.members) for group in clients.groups()},
            "producers": {group: len(members) for group, members in clients.all_producers().items()},
            "routes": {topic: self.routes.route(topic) for topic in self.routes.topics()},
            "brokers": {broker.name: broker for broker in self.routes.brokers()},
            "values": self.kv_store.values,
            "locks": dict(self.broker._locks._groups),
            "users": {user.name: user for user in self.manager.list_users()},
            "policies": {acl.subject: acl for acl in self.manager.list_acls()},
        }


def is_own(name):
    owner = names.owner_of(name) or name
    return owner.startswith(OWN)


def frozen(tables):
    return {name: dict(table) for name, table in tables.items()}


@pytest.fixture(scope="module")
def server():
    return NameServerAndBroker()


def draw_request(data, user):
    base = {**USUAL, **PARTLY} if user == "partly" else USUAL
    values = VALUES | OWN_VALUES if user == "partly" else VALUES
    spoilt = data.draw(st.dictionaries(st.sampled_from(NAMES), st.none() | values, max_size=4))
    ext = {name: value for name, value in {**base, **spoilt}.items() if value is not None}
    flag = data.draw(st.sampled_from([0, 0, 0, 0, FLAG_ONEWAY]))
    code, body = data.draw(CODES), data.draw(MORE_BODIES)
    if data.draw(st.booleans()) or data.draw(st.booleans()):
        ext, body = fitted(code, ext, body)
    return code, ext, body, flag


def ask(server, application, user, request, caplog):
    """Send a request; checks what holds for every sender."""
    wire = server.connect()
    application.connected(wire)
    command = server.as_sender(user, *request)
    with caplog.at_level(logging.ERROR):
        application.commands(wire, [command])
        application.end_of_iteration()
        server.wait()
    assert caplog.records == []
    answer = answer_to(wire, command)
    application.closed(wire)
    application.end_of_iteration()
    server.wait()
    if command.is_oneway:
        assert answer is None
        return None
    assert answer is not None
    assert answer.remark not in (INTERNAL, UNCHECKED)
    assert len(answer.body) <= MAX_ANSWER
    found = re.search(r"\[decision (\w+)\]$", answer.remark or "")
    if found:
        refusal = server.guard.denials.find(found.group(1))
        assert refusal.event.reason != "internal-error"
    return answer


SWEEP = [
    (USUAL, GOOD),
    ({**USUAL, **PARTLY}, own(GOOD)),
    (USUAL, STRICT[0]),
    ({**USUAL, "brokerName": "broker-a"}, STRICT[1]),
]


@pytest.mark.parametrize("user", [*POWERLESS, "partly", "operator"])
def test_every_code_once(server, caplog, user):
    """The same without chance: each code with fields and bodies that are right."""
    others = {"topics", "groups", "offsets", "messages", "routes", "brokers", "values", "locks", "live groups"}
    for code in map(int, [*RequestCode, *OwnCode, 32_768]):
        for ext, body in SWEEP:
            before = frozen(server.tables())
            for application in (server.broker_app, server.namesrv_app):
                request = (code, *fitted(code, ext, json.dumps(body).encode()), 0)
                ask(server, application, user, request, caplog)
            after = frozen(server.tables())
            if user != "partly":
                assert {name: after[name] for name in others} == {name: before[name] for name in others}, code
            else:
                assert after["brokers"] == before["brokers"], code
                changed = {name for name, topic in before["topics"].items() if after["topics"].get(name) != topic}
                assert all(map(is_own, changed)), code
            if user in POWERLESS:
                assert after == before, code


PLENTY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("user", POWERLESS)
@PLENTY
@given(data=st.data())
def test_a_user_without_rights_changes_nothing_and_gets_little(server, caplog, user, data):
    request = draw_request(data, user)
    for application in (server.broker_app, server.namesrv_app):
        before = frozen(server.tables())
        answer = ask(server, application, user, request, caplog)
        assert frozen(server.tables()) == before
        if answer is not None and answer.code != ResponseCode.SUCCESS:
            assert len(answer.remark) + len(answer.body) + sum(map(len, answer.ext.values())) < MAX_REFUSAL
        if answer is not None and user in WITHOUT_IDENTITY:
            assert answer.code == ResponseCode.NO_PERMISSION


@PLENTY
@given(data=st.data())
def test_who_may_something_changes_only_that_and_no_more_than_its_share(server, caplog, data):
    request = draw_request(data, "partly")
    for application in (server.broker_app, server.namesrv_app):
        before = frozen(server.tables())
        ask(server, application, "partly", request, caplog)
        after = frozen(server.tables())
        for table in ("users", "policies", "values", "brokers"):
            assert after[table] == before[table], table
        for table in ("topics", "groups", "routes", "messages", "live groups", "locks"):
            changed = {
                name
                for name in before[table].keys() | after[table].keys()
                if before[table].get(name) != after[table].get(name)
            }
            assert all(map(is_own, changed)), (table, changed)
        for table in ("topics", "groups"):
            assert sum(one.creator == "partly" for one in after[table].values()) <= 50
        others = [name for name in before["offsets"].keys() | after["offsets"].keys() if not name.startswith(OWN)]
        assert [name for name in others if before["offsets"].get(name) != after["offsets"].get(name)] == []


@PLENTY
@given(data=st.data())
def test_an_operator_of_the_cluster_acts_as_no_broker_and_uses_no_topic(server, caplog, data):
    request = draw_request(data, "operator")
    supers = [user for user in server.manager.list_users() if user.type is UserType.SUPER]
    for application in (server.broker_app, server.namesrv_app):
        before = frozen(server.tables())
        ask(server, application, "operator", request, caplog)
        after = frozen(server.tables())
        for table in ("topics", "groups", "offsets", "messages", "routes", "brokers", "values", "locks", "live groups"):
            assert after[table] == before[table], table
    assert [user for user in server.manager.list_users() if user.type is UserType.SUPER] == supers
