"""What the names of a request mean by our rules: topics that belong to groups, and groups that must agree with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tests.interop.auth_module.requests import HEARTBEAT, LOCK, UNLOCK, Asked, Field

Json = dict[str, Any]

RETRY, DLQ, LITE = "%RETRY%", "%DLQ%", "%LMQ%$"

END_TRANSACTION, CLONE, SEND_BACK, PUSH_REPLY = 37, 314, 36, 326
SKIPPING = {11, 14, 15}
"""Codes for which Apache leaves out a retry topic; we check it before the group."""
SETTLING = {200051, 200053}
"""Codes about what was popped: retry topics may have their older form."""
CONSUMING = {*SKIPPING, *SETTLING, 200050, 200054, 200055, HEARTBEAT, LOCK, UNLOCK}
"""Codes for which a retry topic of pop stands for the topic that it was popped from."""
APART = {CLONE, SEND_BACK, PUSH_REPLY}
"""Codes whose topic and group need not belong together."""

HALF_TOPIC = "RMQ_SYS_TRANS_HALF_TOPIC"
ALL_MESSAGES = {"SCHEDULE_TOPIC_XXXX", HALF_TOPIC, "rmq_sys_wheel_timer"}

RULES = {
    "no-check": "Apache lets it through unchecked",
    "missing-field": "a request without a name that it needs is refused, or checked where it is served",
    "topic-for-group": "the name of a retry or dead-letter topic is no group's",
    "owned-topic": "a retry or dead-letter topic belongs to its group",
    "foreign-retry-topic": "a retry topic that is used as a group must be the group's own",
    "retry-topic-of-pop": "it stands for the topic that was popped from as well",
    "lite-topic": "a lite queue belongs to its parent topic",
    "topic-of-nobody": "such a topic that names nobody is refused",
    "everybodys-messages": "topics that hold messages of all topics are read by Super users only",
    "half-topic": "the end of a transaction is checked where the half message is found",
    "source-group": "the group that positions are copied from is checked too",
}
"""By which rules a request leads to other checks than Apache's."""


class Check(NamedTuple):
    """One resource, and the actions of which any suffices."""

    type: str
    name: str | None
    actions: frozenset[str]


class Refused(Exception):
    """A request that we refuse at once."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class Named:
    """The names of one request."""

    def __init__(self, asked: Asked) -> None:
        line = asked.line
        self._code: int = line["code"]
        self._ext: dict[str, str] = line["ext"]
        self._fields = asked.code.fields
        self._body: Json = json.loads(base64.b64decode(line["body"])) if line["body"] else {}

    def refuse_topics_for_groups(self) -> None:
        """Refuse a request that names a retry or dead-letter topic where a group is meant.

        Raises:
            Refused: It does.
        """
        groups = [*self._declared("Group"), *(group for group, _ in self._consumers())]
        if self._code == CLONE:
            groups.append(self._ext["srcGroup"])
        if any(group.startswith((RETRY, DLQ)) for group in groups):
            raise Refused("topic-for-group")

    def translate(self, checks: list[Check], rules: set[str]) -> Iterator[Check]:
        """Our checks in place of Apache's; the rules that make them other ones are added to `rules`.

        Raises:
            Refused: A topic belongs to nobody, to another group, or holds everybody's messages.
        """
        if self._code == CLONE:
            rules.add("source-group")
            yield Check("Group", self._ext["srcGroup"], frozenset({"Get"}))
        if self._code in SKIPPING and (topic := self._ext.get("topic", "")).startswith(RETRY):
            yield self._owned(topic, checks[0].actions, self._ext.get("consumerGroup"), rules)
        for group, topics in self._consumers():
            for topic in topics:
                yield self._owned(topic, frozenset({"Sub"}), group, rules)
        for check in checks:
            if self._body and check.type == "Topic":
                continue  # said above, with its group
            origin = self.topic_of(check)
            if origin is None:
                yield check
            elif self._code == END_TRANSACTION and origin == HALF_TOPIC:
                rules.add("half-topic")
            else:
                yield self._owned(origin, check.actions, self._partner(), rules)

    def _consumers(self) -> Iterable[tuple[str, list[str]]]:
        """Every group of the body with its topics."""
        if self._code == HEARTBEAT:
            for consumer in self._body["consumerDataSet"]:
                yield consumer["groupName"], [each["topic"] for each in consumer["subscriptionDataSet"]]
        elif self._body:
            yield self._body["consumerGroup"], [queue["topic"] for queue in self._body["mqSet"]]

    def topic_of(self, check: Check) -> str | None:
        """The topic that a check comes from, None if from no topic; Apache has made a group of a retry topic."""
        if check.type == "Topic":
            return check.name
        retry = f"{RETRY}{check.name}"
        topics = [*self._declared("Topic"), self._ext.get("topic")]
        return retry if check.type == "Group" and retry in topics else None

    def _partner(self) -> str | None:
        """The group that a retry topic of the request must belong to, None where there is none."""
        if self._code in APART:
            return None
        groups = [field for field in self._fields if field.resource == "Group" and not field.splitter]
        return self._ext.get(groups[0].name) if groups else None

    def _declared(self, resource: str) -> list[str]:
        return [name for field in self._fields if field.resource == resource for name in self._split(field)]

    def _split(self, field: Field) -> list[str]:
        value = self._ext.get(field.name)
        if value is None:
            return []
        return value.split(field.splitter) if field.splitter else [value]

    def _owned(self, topic: str, actions: frozenset[str], group: str | None, rules: set[str]) -> Check:
        """The check of a topic, or of what it belongs to."""
        if topic.startswith(RETRY) and group is not None and topic != RETRY + group:
            return self._popped(topic, actions, group, rules)
        if topic.startswith((RETRY, DLQ)):
            owner = topic.removeprefix(RETRY) if topic.startswith(RETRY) else topic.removeprefix(DLQ)
            if not owner.strip():
                raise Refused("topic-of-nobody")
            rules.add("owned-topic")
            return Check("Group", owner, _on_group(actions))
        if topic.startswith(LITE):
            parent, _, lite = topic.removeprefix(LITE).partition("$")
            if not lite:
                raise Refused("topic-of-nobody")
            rules.add("lite-topic")
            return Check("Topic", parent, actions)
        if topic in ALL_MESSAGES and "Sub" in actions:
            raise Refused("everybodys-messages")
        return Check("Topic", topic, actions)

    def _popped(self, topic: str, actions: frozenset[str], group: str, rules: set[str]) -> Check:
        marks = "+_" if self._code in SETTLING else "+"
        own = topic.removeprefix(RETRY + group)
        if self._code not in CONSUMING or own == topic or own[:1] not in marks:
            raise Refused("foreign-retry-topic")
        rules.add("retry-topic-of-pop")
        return self._owned(own[1:], actions, None, rules)


def _on_group(actions: frozenset[str]) -> frozenset[str]:
    """To write to a group's topic is to consume as the group."""
    return frozenset("Sub" if action == "Pub" else action for action in actions)
