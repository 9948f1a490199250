"""Scenario of `mqguard demo`: two users and one topic; one user is denied and then allowed."""

import contextlib
import re
import secrets
from collections.abc import Callable
from typing import NamedTuple

from mqguard.admin import messages, policies, topics, users
from mqguard.admin.client import Broker, Client
from mqguard.admin.errors import PeerRefused
from mqguard.auth.explain import explain
from mqguard.auth.policy import Action, Decision, Entry
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.user import LiveSecret, Subject, User
from mqguard.auth.verdict import AccessRequest
from mqguard.config.secret import Credentials, make_secret
from mqguard.errors import MqguardError
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode

TEXT = "hello, guarded world"
RECEIVE_SECONDS = 5.0
_VERBS = {Action.PUB: "send", Action.SUB: "receive"}


class DemoFailed(MqguardError):
    """The server did not behave as the demo expects."""


class DemoStopped(MqguardError):
    """The caller ended the demo early."""


class DemoStep(NamedTuple):
    """One completed step of the demo.

    Attributes:
        description: Action of the step.
        mqadmin: Equivalent commands of Apache's mqadmin, without `mqadmin`.
        outcome: `done`, `allowed` or `denied`.
        message: Result of the action, or the server's error message.
        reason: Reason of a denial.
        remedy: Command of Apache's mqadmin that allows a denied action.
        decision: Decision id of a denial.
    """

    description: str
    mqadmin: tuple[str, ...]
    outcome: str
    message: str = ""
    reason: str = ""
    remedy: str = ""
    decision: str = ""


class DemoUser(NamedTuple):
    """User that the demo creates."""

    name: str
    credentials: Credentials
    client: Client

    @property
    def subject(self) -> Subject:
        """Subject of the user's policies."""
        return Subject(self.name)


class DemoScenario:
    """Runs the demo at a cluster, and deletes everything that it created.

    Args:
        admin: Client in the name of a user who may create users, policies and topics.
        namesrv: Address of the name server for the mqadmin commands, `host:port`.
        cluster: Name of the cluster; None if there is only one.
        on_step: Called with each completed step.
        stopped: Returns True to end early.
    """

    def __init__(
        self,
        admin: Client,
        namesrv: str,
        cluster: str | None,
        on_step: Callable[[DemoStep], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._admin = admin
        self._cluster = cluster
        self._on_step = on_step
        self._stopped = stopped
        self._at = f"-n {namesrv}"
        self._mark = secrets.token_hex(2)
        self._topic = f"demo-orders-{self._mark}"
        self._group = f"demo-group-{self._mark}"
        self._left: list[str] = []

    def run(self) -> None:
        """Run all steps.

        Raises:
            PeerRefused: The user may not create users, policies or topics.
            LinkError: The server cannot be reached.
            DemoFailed: The server did not behave as the demo expects.
            DemoStopped: The caller ended the demo early.
        """
        with contextlib.ExitStack() as made:
            brokers = self._admin.brokers(self._cluster)
            self._cluster_flag = f"-c {brokers[0].cluster}"
            self._create_topic(brokers, made)
            alice, bob = (self._create_user(f"{name}-{self._mark}", brokers, made) for name in ("alice", "bob"))
            # mqadmin's consumeMessage reads the bounds of queues, which needs Get; receiving needs only Sub.
            self._allow(alice, (Action.PUB, Action.SUB, Action.GET), brokers)
            self._allow(bob, (Action.SUB,), brokers)
            self._send(alice)
            self._receive(alice)
            self._send_denied(bob)
            self._allow(bob, (Action.SUB, Action.PUB), brokers, again=True)
            self._send(bob)
        if self._left:
            raise DemoFailed(f"some objects could not be deleted: {'; '.join(self._left)}")
        self._on_step(DemoStep("delete the users with their policies, the group and the topic", (), "done"))

    # Steps

    def _create_topic(self, brokers: list[Broker], made: contextlib.ExitStack) -> None:
        made.callback(self._quietly, lambda: topics.delete(self._admin, self._topic, self._cluster))
        for broker in brokers:
            session = self._admin.at(broker.address)
            topics.create(session, TopicConfig(self._topic, 4, 4))
            made.callback(self._quietly, topics.delete_group, session, self._group)
        self._done(f"create the topic {self._topic}", (f"updateTopic {self._line()} -t {self._topic}",))

    def _create_user(self, name: str, brokers: list[Broker], made: contextlib.ExitStack) -> DemoUser:
        secret = make_secret()
        for broker in brokers:
            session = self._admin.at(broker.address)
            made.callback(self._quietly, users.delete, session, name)
            users.create(session, name, secret)
        # The output may be a log, so it never contains a secret.
        self._done(f"create the user {name}", (f"createUser {self._line()} -u {name} -p '<secret>' -t Normal",))
        credentials = Credentials(name, secret)
        return DemoUser(name, credentials, made.enter_context(self._admin.as_user(credentials)))

    def _allow(
        self, actor: DemoUser, actions: tuple[Action, ...], brokers: list[Broker], *, again: bool = False
    ) -> None:
        entries = [_entry(ResourceType.TOPIC, self._topic, actions)]
        if not again:
            entries.append(_entry(ResourceType.GROUP, self._group, (Action.SUB,)))
        for broker in brokers:
            policies.create(self._admin.at(broker.address), actor.subject, entries)
        verbs = " and ".join(word for action, word in _VERBS.items() if action in actions)
        what = f"allow {actor.name} to {verbs}" + (" too" if again else "" if len(actions) > 1 else " only")
        command = "updateAcl" if again else "createAcl"
        self._done(what, tuple(self._acl_line(command, actor, entry) for entry in entries))

    def _send(self, actor: DemoUser) -> None:
        sent = messages.send(actor.client, self._topic, TEXT.encode())
        self._done(
            f"{actor.name} sends a message",
            (f"sendMessage {self._at} -t {self._topic} -p '{TEXT}'",),
            "allowed",
            f"stored at {sent.broker}, queue {sent.queue_id}, as {sent.unique_id}",
        )

    def _receive(self, actor: DemoUser) -> None:
        found = messages.receive(
            actor.client, self._topic, self._group, limit=1, seconds=RECEIVE_SECONDS, stopped=self._stopped
        )
        bodies = [message.body for message in found]
        self._check_stopped()
        if bodies != [TEXT.encode()]:
            raise DemoFailed(f"the message did not arrive within {RECEIVE_SECONDS:g} s")
        self._done(
            f"{actor.name} receives it",
            (f"consumeMessage {self._at} -t {self._topic} -g {self._group}",),
            "allowed",
            f'"{bodies[0].decode()}"',
        )

    def _send_denied(self, actor: DemoUser) -> None:
        try:
            messages.send(actor.client, self._topic, TEXT.encode())
        except PeerRefused as exc:
            if exc.code != ResponseCode.NO_PERMISSION:
                raise
            denial = exc
        else:
            raise DemoFailed(
                f"the server allowed {actor.name} to send without a permission: "
                f"are authenticationEnabled and authorizationEnabled both true?"
            )
        reason, remedy = self._explain(actor)
        self._on_step(
            DemoStep(
                f"{actor.name} sends a message",
                (f"sendMessage {self._at} -t {self._topic} -p '{TEXT}'",),
                "denied",
                f"code {denial.code}: {denial.remark}",
                reason,
                self._acl_line("updateAcl", actor, remedy),
                _decision_in(denial.remark),
            )
        )
        self._check_stopped()

    # Why

    def _explain(self, actor: DemoUser) -> tuple[str, Entry]:
        """Return the reason why the user may not send, and an entry that allows it, by the current policies."""
        broker = self._admin.brokers(self._cluster)[0]
        acl = policies.get(self._admin.at(broker.address), actor.subject)
        request = AccessRequest(ResourceType.TOPIC, self._topic, frozenset({Action.PUB}))
        found = explain(actor.name, request, Rights(User(actor.name, (LiveSecret(actor.credentials.secret),)), acl))
        about = [f"{one.entry.text}: {one.why}" for one in found.considered]
        held = [action for one in found.considered for action in one.entry.actions]
        reason = f"{found.verdict.reason.value}, " + ("; ".join(about) or "no entry covers the topic")
        return reason, _entry(ResourceType.TOPIC, self._topic, (*held, Action.PUB))

    # Progress

    def _done(self, description: str, lines: tuple[str, ...], outcome: str = "done", message: str = "") -> None:
        self._on_step(DemoStep(description, lines, outcome, message))
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self._stopped():
            raise DemoStopped("the demo was stopped")

    def _line(self) -> str:
        return f"{self._at} {self._cluster_flag}"

    def _acl_line(self, command: str, actor: DemoUser, entry: Entry) -> str:
        actions = ",".join(action.value for action in entry.actions)
        return (
            f"{command} {self._line()} -s {actor.subject.key} -r {entry.resource.key} -a {actions} "
            f"-d {entry.decision.value}"
        )

    def _quietly(self, undo: Callable[..., None], *arguments: object) -> None:
        """Undo an action; an action that cannot be undone does not keep the others from it."""
        try:
            undo(*arguments)
        except MqguardError as exc:
            self._left.append(str(exc))


def _entry(kind: ResourceType, name: str, actions: tuple[Action, ...]) -> Entry:
    return Entry(Resource(kind, name, Pattern.LITERAL), actions, (), Decision.ALLOW)


def _decision_in(remark: str) -> str:
    """Return the decision id at the end of a denial's message, empty if there is none, as at Apache's brokers."""
    found = re.search(r"\[decision ([0-9A-Za-z-]+)\]", remark)
    return found[1] if found else ""
