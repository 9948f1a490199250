"""What `mqguard demo` shows: two users, one topic, one of them refused, and what would let it in."""

import contextlib
import re
import secrets
from collections.abc import Callable
from typing import NamedTuple

from mqguard.admin import messages, policies, topics, users
from mqguard.admin.client import Broker, Client
from mqguard.admin.errors import PeerRefused
from mqguard.auth.action import Action
from mqguard.auth.explain import explain
from mqguard.auth.explain_text import entry_text
from mqguard.auth.policy import Decision, Entry
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.rights import Rights
from mqguard.auth.subject import Subject
from mqguard.auth.user import LiveSecret, User
from mqguard.config.secret import Credentials
from mqguard.errors import MqguardError
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode
from mqguard.runtime.first_start import make_secret

TEXT = "hello, guarded world"
RECEIVE_SECONDS = 5.0
_VERBS = {Action.PUB: "send", Action.SUB: "receive"}


class DemoFailed(MqguardError):
    """The demo could not show what it is for."""


class DemoStopped(MqguardError):
    """The demo was told to end early."""


class Step(NamedTuple):
    """One thing that the demo did.

    Attributes:
        what: What it did.
        mqadmin: The lines of Apache's tool that do the same, without `mqadmin`.
        outcome: `done`, `admitted` or `refused`.
        said: What came of it: a message, or the server's refusal.
        why: For a refusal, why.
        remedy: For a refusal, the line of Apache's tool that would allow it.
        decision: For a refusal, its decision id.
    """

    what: str
    mqadmin: tuple[str, ...]
    outcome: str
    said: str = ""
    why: str = ""
    remedy: str = ""
    decision: str = ""


class Actor(NamedTuple):
    """A user that the demo makes."""

    name: str
    credentials: Credentials
    client: Client

    @property
    def subject(self) -> Subject:
        """Whose policy it is."""
        return Subject(self.name)


class Story:
    """Plays the demo against a cluster and takes back everything it made.

    Args:
        admin: A client in the name of somebody who may make users, policies and topics.
        namesrv: `host:port`, for the lines that it prints.
        cluster: The cluster; None is the only one.
        tell: Told of each step when it is done.
        stopped: Whether to end early.
    """

    def __init__(
        self,
        admin: Client,
        namesrv: str,
        cluster: str | None,
        tell: Callable[[Step], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._admin = admin
        self._cluster = cluster
        self._tell = tell
        self._stopped = stopped
        self._at = f"-n {namesrv}"
        self._mark = secrets.token_hex(2)
        self._topic = f"demo-orders-{self._mark}"
        self._group = f"demo-group-{self._mark}"
        self._left: list[str] = []

    def play(self) -> None:
        """Show it all.

        Raises:
            PeerRefused: Whoever asks may not make users, policies or topics.
            LinkError: The server cannot be reached.
            DemoFailed: The server did not do what the demo is about.
            DemoStopped: It was told to end.
        """
        with contextlib.ExitStack() as made:
            brokers = self._admin.brokers(self._cluster)
            self._cluster_flag = f"-c {brokers[0].cluster}"
            self._make_topic(brokers, made)
            alice, bob = (self._make_user(f"{name}-{self._mark}", brokers, made) for name in ("alice", "bob"))
            # Get is for mqadmin's consumeMessage, which asks for the bounds of queues; receiving needs Sub alone.
            self._allow(alice, (Action.PUB, Action.SUB, Action.GET), brokers)
            self._allow(bob, (Action.SUB,), brokers)
            self._send(alice)
            self._receive(alice)
            self._be_refused(bob)
            self._allow(bob, (Action.SUB, Action.PUB), brokers, again=True)
            self._send(bob)
        if self._left:
            raise DemoFailed(f"could not be cleaned up: {'; '.join(self._left)}")
        self._tell(Step("remove the users with their policies, the group and the topic", (), "done"))

    # Steps

    def _make_topic(self, brokers: list[Broker], made: contextlib.ExitStack) -> None:
        made.callback(self._quietly, lambda: topics.delete(self._admin, self._topic, self._cluster))
        for broker in brokers:
            session = self._admin.at(broker.address)
            topics.create(session, TopicConfig(self._topic, 4, 4))
            made.callback(self._quietly, topics.delete_group, session, self._group)
        self._done(f"make the topic {self._topic}", (f"updateTopic {self._line()} -t {self._topic}",))

    def _make_user(self, name: str, brokers: list[Broker], made: contextlib.ExitStack) -> Actor:
        secret = make_secret()
        for broker in brokers:
            session = self._admin.at(broker.address)
            made.callback(self._quietly, users.delete, session, name)
            users.create(session, name, secret)
        self._done(f"make the user {name}", (f"createUser {self._line()} -u {name} -p {secret.reveal()} -t Normal",))
        credentials = Credentials(name, secret)
        return Actor(name, credentials, made.enter_context(self._admin.as_user(credentials)))

    def _allow(self, actor: Actor, actions: tuple[Action, ...], brokers: list[Broker], *, again: bool = False) -> None:
        entries = [_entry(ResourceType.TOPIC, self._topic, actions)]
        if not again:
            entries.append(_entry(ResourceType.GROUP, self._group, (Action.SUB,)))
        for broker in brokers:
            policies.create(self._admin.at(broker.address), actor.subject, entries)
        verbs = " and ".join(word for action, word in _VERBS.items() if action in actions)
        what = f"allow {actor.name} to {verbs}" + (" after all" if again else "" if len(actions) > 1 else " only")
        command = "updateAcl" if again else "createAcl"
        self._done(what, tuple(self._acl_line(command, actor, entry) for entry in entries))

    def _send(self, actor: Actor) -> None:
        sent = messages.send(actor.client, self._topic, TEXT.encode())
        self._done(
            f"{actor.name} sends a message",
            (f"sendMessage {self._at} -t {self._topic} -p '{TEXT}'",),
            "admitted",
            f"stored at {sent.broker}, queue {sent.queue_id}, as {sent.unique_id}",
        )

    def _receive(self, actor: Actor) -> None:
        found = messages.receive(
            actor.client, self._topic, self._group, limit=1, seconds=RECEIVE_SECONDS, stopped=self._stopped
        )
        bodies = [message.body for message in found]
        self._look_up()
        if bodies != [TEXT.encode()]:
            raise DemoFailed(f"the message did not come back within {RECEIVE_SECONDS:g} s")
        self._done(
            f"{actor.name} receives it",
            (f"consumeMessage {self._at} -t {self._topic} -g {self._group}",),
            "admitted",
            f'"{bodies[0].decode()}"',
        )

    def _be_refused(self, actor: Actor) -> None:
        try:
            messages.send(actor.client, self._topic, TEXT.encode())
        except PeerRefused as exc:
            if exc.code != ResponseCode.NO_PERMISSION:
                raise
            refusal = exc
        else:
            raise DemoFailed(
                f"the server let {actor.name} send, although nothing allows it: "
                f"are authenticationEnabled and authorizationEnabled both true?"
            )
        why, remedy = self._explain(actor)
        self._tell(
            Step(
                f"{actor.name} sends a message",
                (f"sendMessage {self._at} -t {self._topic} -p '{TEXT}'",),
                "refused",
                f"code {refusal.code}: {refusal.remark}",
                why,
                self._acl_line("updateAcl", actor, remedy),
                _decision_in(refusal.remark),
            )
        )
        self._look_up()

    # Why

    def _explain(self, actor: Actor) -> tuple[str, Entry]:
        """Why the user may not send, and the entry that would allow it, by the policies of this moment."""
        broker = self._admin.brokers(self._cluster)[0]
        acl = policies.get(self._admin.at(broker.address), actor.subject)
        request = AccessRequest(ResourceType.TOPIC, self._topic, frozenset({Action.PUB}))
        found = explain(actor.name, request, Rights(User(actor.name, (LiveSecret(actor.credentials.secret),)), acl))
        about = [f"{entry_text(one.entry)}: {one.why}" for one in found.considered]
        held = [action for one in found.considered for action in one.entry.actions]
        why = f"{found.verdict.reason.value}, " + ("; ".join(about) or "no entry covers the topic")
        return why, _entry(ResourceType.TOPIC, self._topic, (*held, Action.PUB))

    # Telling

    def _done(self, what: str, lines: tuple[str, ...], outcome: str = "done", said: str = "") -> None:
        self._tell(Step(what, lines, outcome, said))
        self._look_up()

    def _look_up(self) -> None:
        if self._stopped():
            raise DemoStopped("the demo was stopped")

    def _line(self) -> str:
        return f"{self._at} {self._cluster_flag}"

    def _acl_line(self, command: str, actor: Actor, entry: Entry) -> str:
        actions = ",".join(action.value for action in entry.actions)
        return (
            f"{command} {self._line()} -s {actor.subject.key} -r {entry.resource.key} -a {actions} "
            f"-d {entry.decision.value}"
        )

    def _quietly(self, undo: Callable[..., None], *arguments: object) -> None:
        """Take something back; one thing that stays must not keep the others."""
        try:
            undo(*arguments)
        except MqguardError as exc:
            self._left.append(str(exc))


def _entry(kind: ResourceType, name: str, actions: tuple[Action, ...]) -> Entry:
    return Entry(Resource(kind, name, Pattern.LITERAL), actions, (), Decision.ALLOW)


def _decision_in(remark: str) -> str:
    """The decision id that a refusal's remark ends in; empty if there is none, as at other brokers."""
    found = re.search(r"\[decision ([0-9A-Za-z-]+)\]", remark)
    return found[1] if found else ""
