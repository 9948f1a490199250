"""Acknowledged messages, users and policies are there after `kill -9` under load."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, acl_body, create_topic, entry, read_all, send_fields
from tests.fixtures.server import Server
from tests.fixtures.wire import (
    CREATE_ACL,
    CREATE_USER,
    DELETE_ACL,
    DELETE_USER,
    LIST_ACLS,
    LIST_USERS,
    SEND,
    UPDATE_OFFSET,
    UPDATE_USER,
    Wire,
)

pytestmark = pytest.mark.timeout(300)

TOPIC, GROUP, QUEUES = "crash", "crash_group", 4
SENDERS, IN_FLIGHT = 3, 16
GONE = (OSError, EOFError)


@dataclasses.dataclass
class MessageSender:
    """One connection that sends as fast as it is answered, and keeps what was acknowledged.

    Attributes:
        acknowledged: Body, queue and offset of each acknowledged message.
        sent: Every body that was sent, since a stored body must be one of them.
    """

    number: int
    acknowledged: dict[bytes, tuple[int, int]] = dataclasses.field(default_factory=dict)
    sent: set[bytes] = dataclasses.field(default_factory=set)
    refusals: list[str] = dataclasses.field(default_factory=list)

    def run(self, port: int, round_: int) -> None:
        """Send until the server has ended."""
        pending: dict[int, bytes] = {}
        count = 0
        try:
            with Wire(port, ADMIN) as wire:
                while True:
                    while len(pending) < IN_FLIGHT:
                        body = f"{round_}-{self.number}-{count}".encode()
                        count += 1
                        self.sent.add(body)
                        pending[wire.post(SEND, send_fields(TOPIC, count % QUEUES), body)] = body
                    answer = wire.read()
                    body = pending.pop(answer.opaque)
                    if answer.code == 0:
                        self.acknowledged[body] = (int(answer.ext["queueId"]), int(answer.ext["queueOffset"]))
                    else:
                        self.refusals.append(f"{answer.code}: {answer.remark}")
                        return
        except GONE:
            return


@dataclasses.dataclass
class Administrator:
    """One connection that changes users and policies, and keeps their acknowledged state.

    Attributes:
        users: Status of each user as it was last acknowledged.
        policies: Decision of each user's entry for each resource as it was last acknowledged.
        doubtful: Users whose last change was never answered, so it may have been made or not.
        acknowledged: Number of acknowledged changes of each kind and user.
        offset: The consumer offset that was last acknowledged.
    """

    users: dict[str, str] = dataclasses.field(default_factory=dict)
    policies: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    doubtful: set[str] = dataclasses.field(default_factory=set)
    acknowledged: Counter[tuple[int, str]] = dataclasses.field(default_factory=Counter)
    offset: int = -1
    changes: int = 0
    refusals: list[str] = dataclasses.field(default_factory=list)

    def run(self, port: int, round_: int, random_: random.Random) -> None:
        """Change users and policies until the server has ended."""
        try:
            with Wire(port, ADMIN) as wire:
                while True:
                    self._change(wire, f"user{round_}_{random_.randrange(20)}", random_)
                    offset = self.offset + 1
                    fields = {"consumerGroup": GROUP, "topic": TOPIC, "queueId": "0", "commitOffset": str(offset)}
                    if wire.call(UPDATE_OFFSET, fields).code == 0:
                        self.offset = offset
        except GONE:
            return

    def _change(self, wire: Wire, name: str, random_: random.Random) -> None:
        before = len(self.refusals)
        self.doubtful.add(name)
        if name not in self.users:
            self._create(wire, name)
        else:
            random_.choice((self._toggle, self._grant, self._grant, self._revoke, self._delete))(wire, name)
        if len(self.refusals) == before:
            self.doubtful.discard(name)
            self.changes += 1

    def _tell(self, wire: Wire, code: int, ext: dict[str, str], body: bytes = b"") -> bool:
        answer = wire.call(code, ext, body)
        if answer.code != 0:
            self.refusals.append(f"{code} → {answer.code}: {answer.remark}")
        else:
            self.acknowledged[code, ext.get("subject") or f"User:{ext['username']}"] += 1
        return answer.code == 0

    def _create(self, wire: Wire, name: str) -> None:
        body = json.dumps({"username": name, "password": f"{name}-secret"}).encode()
        if self._tell(wire, CREATE_USER, {"username": name}, body):
            self.users[name] = "enable"
            self.policies[name] = {}

    def _toggle(self, wire: Wire, name: str) -> None:
        status = "disable" if self.users[name] == "enable" else "enable"
        body = json.dumps({"username": name, "userStatus": status}).encode()
        if self._tell(wire, UPDATE_USER, {"username": name}, body):
            self.users[name] = status

    def _grant(self, wire: Wire, name: str) -> None:
        resource = f"Topic:t{self.changes % 7}"
        decision = "Deny" if self.policies[name].get(resource) == "Allow" else "Allow"
        subject = f"User:{name}"
        body = acl_body(subject, [entry(resource, "Pub,Sub", decision)])
        if self._tell(wire, CREATE_ACL, {"subject": subject}, body):
            self.policies[name][resource] = decision

    def _revoke(self, wire: Wire, name: str) -> None:
        if not self.policies[name]:
            return
        resource = next(iter(self.policies[name]))
        fields = {"subject": f"User:{name}", "policyType": "Custom", "resource": resource}
        if self._tell(wire, DELETE_ACL, fields):
            del self.policies[name][resource]

    def _delete(self, wire: Wire, name: str) -> None:
        if self._tell(wire, DELETE_USER, {"username": name}):
            del self.users[name], self.policies[name]


def stored_users(wire: Wire) -> dict[str, str]:
    """Return the status of each user of the server, except the Super user."""
    listed = wire.call(LIST_USERS, {"filter": "user"}).body
    return {user["username"]: user["userStatus"] for user in json.loads(listed or b"[]")}


def stored_policies(wire: Wire) -> dict[str, dict[str, str]]:
    """Return the decision of each entry of each user, by resource."""
    listed = wire.call(LIST_ACLS, {"subjectFilter": "", "resourceFilter": ""}).body
    return {
        acl["subject"].removeprefix("User:"): {
            item["resource"]: item["decision"] for policy in acl["policies"] for item in policy["entries"]
        }
        for acl in json.loads(listed or b"[]")
    }


def crash(
    server: Server, senders: list[MessageSender], administrator: Administrator, round_: int, random_: random.Random
) -> None:
    """Load the server from several connections and kill it at a random moment."""
    threads = [threading.Thread(target=sender.run, args=(server.broker_port, round_)) for sender in senders]
    threads.append(threading.Thread(target=administrator.run, args=(server.broker_port, round_, random_)))
    for thread in threads:
        thread.start()
    time.sleep(random_.uniform(0.05, 0.6))
    server.kill()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def check(server: Server, senders: list[MessageSender], administrator: Administrator) -> None:
    """Compare the acknowledged state with that of the server."""
    assert [refusal for sender in senders for refusal in sender.refusals] == []
    assert administrator.refusals == []
    with Wire(server.broker_port, ADMIN) as wire:
        stored = [read_all(wire, TOPIC, GROUP, queue) for queue in range(QUEUES)]
        users, policies = stored_users(wire), stored_policies(wire)
        answer = wire.call(14, {"consumerGroup": GROUP, "topic": TOPIC, "queueId": "0"})
    sent = set().union(*(sender.sent for sender in senders))
    times = Counter(body for queue in stored for body in queue)
    assert set(times) <= sent
    assert [body for body, count in times.items() if count > 1] == []
    for sender in senders:
        for body, (queue, offset) in sender.acknowledged.items():
            assert offset < len(stored[queue]), f"{body!r} was acknowledged at {queue}/{offset} and is lost"
            assert stored[queue][offset] == body

    for name in administrator.users.keys() | users.keys():
        if name in administrator.doubtful:
            continue
        assert users.get(name) == administrator.users.get(name), name
        assert policies.get(name, {}) == administrator.policies.get(name, {}), name
    if administrator.offset >= 0:
        assert int(answer.ext["offset"]) >= administrator.offset
    # Doubtful changes are decided now: continue from the state of the server.
    for name in administrator.doubtful:
        administrator.users.pop(name, None)
        administrator.policies.pop(name, None)
        if name in users:
            administrator.users[name] = users[name]
            administrator.policies[name] = policies.get(name, {})
    administrator.doubtful.clear()


def check_audit_log(server: Server, administrator: Administrator) -> None:
    """Check that each acknowledged change is in the audit log, and none is there twice."""
    paths = (server.data / "audit").glob("audit.jsonl*")
    lines = [json.loads(line) for path in paths for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    changes = [line for line in lines if line["event"] == "change" and line["code"]]
    told = Counter((line["code"], line["subject"]) for line in changes if line["outcome"] == "done")
    missing = administrator.acknowledged - told
    assert not missing, [line for line in lines if (line.get("code"), line.get("subject")) in missing]
    assert len({line["id"] for line in changes}) == len(changes)


@pytest.mark.parametrize(
    ("flush", "rounds"), [pytest.param("ASYNC_FLUSH", 20, id="async"), pytest.param("SYNC_FLUSH", 4, id="sync")]
)
def test_acknowledged_writes_survive_kill_9(tmp_path: Path, flush: str, rounds: int) -> None:
    """Twenty crashes of one data directory lose, duplicate and change no acknowledged write."""
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")  # pytest shows it when the test fails
    random_ = random.Random(seed)
    server = Server(tmp_path, settings={"flushDiskType": flush})
    senders, administrator = [MessageSender(number) for number in range(SENDERS)], Administrator()
    with server:
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, TOPIC, QUEUES)
        for round_ in range(rounds):
            crash(server, senders, administrator, round_, random_)
            server.start()
            check(server, senders, administrator)
    check_audit_log(server, administrator)

    assert sum(len(sender.acknowledged) for sender in senders) > 50 * rounds
    assert administrator.changes > rounds


def test_acknowledged_delayed_messages_are_delivered_once_after_kill_9(tmp_path: Path) -> None:
    """Each message is delivered once to its topic, whether the crash is before, at or after its time."""
    random_ = random.Random(time.time_ns())
    acknowledged: set[bytes] = set()
    with Server(tmp_path) as server:
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, TOPIC, 1)
        for round_ in range(4):
            with Wire(server.broker_port, ADMIN) as wire:
                bodies = [f"{round_}-{i}".encode() for i in range(200)]
                posted = {wire.post(SEND, send_fields(TOPIC, 0, "DELAY\x011\x02"), body): body for body in bodies}
                for _ in bodies:
                    answer = wire.read()
                    assert answer.code == 0
                    acknowledged.add(posted[answer.opaque])
            time.sleep(random_.uniform(0, 1.3))  # they are due after one second
            server.kill()
            server.start()

        with Wire(server.broker_port, ADMIN) as wire:
            deadline = time.monotonic() + 15
            while len(delivered := read_all(wire, TOPIC, GROUP, 0)) < len(acknowledged):
                assert time.monotonic() < deadline, f"{len(acknowledged) - len(delivered)} are missing"
                time.sleep(0.1)
    assert Counter(delivered) == Counter(acknowledged)


def test_a_deleted_message_topic_stays_deleted_after_kill_9(tmp_path: Path) -> None:
    """Topics that were created and deleted just before a crash are as acknowledged."""
    with Server(tmp_path) as server:
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, "kept", 2)
            create_topic(wire, "gone", 2)
            assert wire.call(215, {"topic": "gone"}).code == 0
        server.kill()
        server.start()
        with Wire(server.namesrv_port, ADMIN) as wire:
            assert wire.call(105, {"topic": "kept"}).code == 0
            assert wire.call(105, {"topic": "gone"}).code == 17


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """Two processes on one data directory would lose what the first acknowledged."""
    with Server(tmp_path / "one") as first:
        second = Server(tmp_path / "two")
        second.data = first.data
        with pytest.raises(AssertionError, match="did not start"):
            second.start()
        assert first.running
        with Wire(first.broker_port, ADMIN) as wire:
            create_topic(wire, "still_serving")
