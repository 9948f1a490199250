"""The names of a remoting request, by our rules."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.interop.auth_module.belonging import HALF_TOPIC, RETRY, Check, owned, refuse_topics_for_groups
from tests.interop.auth_module.requests import HEARTBEAT, LOCK, UNLOCK, Field, GeneratedRequest

Json = dict[str, Any]

END_TRANSACTION, CLONE, SEND_BACK, PUSH_REPLY = 37, 314, 36, 326
SKIPPING = {11, 14, 15}
"""Codes for which Apache skips a retry topic; mqguard checks it before the group."""
POP_RETRIES = {200051, 200053, HEARTBEAT}
"""Codes for which a retry topic of pop may have its older form, `%RETRY%group_topic`."""
CONSUMING = {*SKIPPING, *POP_RETRIES, 200050, 200054, 200055, LOCK, UNLOCK}
"""Codes for which a retry topic of pop means the topic of the popped message."""
APART = {CLONE, SEND_BACK, PUSH_REPLY}
"""Codes whose topic and group may be unrelated."""


class Named:
    """The names of one request."""

    def __init__(self, asked: GeneratedRequest) -> None:
        line = asked.line
        self._code: int = line["code"]
        self._ext: dict[str, str] = line["ext"]
        self._fields = asked.code.fields
        self._body: Json = json.loads(base64.b64decode(line["body"])) if line["body"] else {}

    def refuse_topics_for_groups(self) -> None:
        """Refuse a request that has the name of a retry or dead-letter topic in place of a group.

        Raises:
            Refused: It has such a name.
        """
        groups = [*self._declared("Group"), *(group for group, _ in self._consumers())]
        if self._code == CLONE:
            groups.append(self._ext["srcGroup"])
        refuse_topics_for_groups(*groups)

    def translate(self, checks: list[Check], rules: set[str]) -> Iterator[Check]:
        """Return our checks in place of Apache's, and add the rules by which they differ to `rules`.

        Raises:
            Refused: A topic has no owner, belongs to another group, or holds messages of all users.
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
                continue  # It was checked above, with its group.
            origin = self.topic_of(check)
            if origin is None:
                yield check
            elif self._code == END_TRANSACTION and origin == HALF_TOPIC:
                rules.add("half-topic")
            else:
                yield self._owned(origin, check.actions, self._partner(), rules)

    def _consumers(self) -> Iterable[tuple[str, list[str]]]:
        """Return every group of the body with its topics."""
        if self._code == HEARTBEAT:
            for consumer in self._body["consumerDataSet"]:
                yield consumer["groupName"], [each["topic"] for each in consumer["subscriptionDataSet"]]
        elif self._body:
            yield self._body["consumerGroup"], [queue["topic"] for queue in self._body["mqSet"]]

    def topic_of(self, check: Check) -> str | None:
        """Return the topic of a check, None if it has none; Apache has replaced a retry topic by its group."""
        if check.type == "Topic":
            return check.name
        retry = f"{RETRY}{check.name}"
        topics = [*self._declared("Topic"), self._ext.get("topic")]
        return retry if check.type == "Group" and retry in topics else None

    def _partner(self) -> str | None:
        """Return the group that must own a retry topic of the request, None if there is none."""
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
        marks = "+_" if self._code in POP_RETRIES else "+" if self._code in CONSUMING else ""
        return owned(topic, actions, group, marks, rules)
