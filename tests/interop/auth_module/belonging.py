"""Topics that by our rules belong to a group, to a parent topic or to everybody."""

from __future__ import annotations

from typing import NamedTuple

RETRY, DLQ, LITE = "%RETRY%", "%DLQ%", "%LMQ%$"
HALF_TOPIC = "RMQ_SYS_TRANS_HALF_TOPIC"
ALL_MESSAGES = {"SCHEDULE_TOPIC_XXXX", HALF_TOPIC, "rmq_sys_wheel_timer"}

RULES = {
    "no-check": "Apache lets it through unchecked",
    "being-a-broker": "requests of brokers, and those that act for one, need the inner credentials or a Super user",
    "create-or-update": "what exists needs Update; whether it exists, the handler finds out",
    "retried-origin": "a message for a retry or dead-letter topic names the topic that it came from",
    "missing-field": "a request without a name that it needs is refused, or checked where it is served",
    "topic-for-group": "the name of a retry or dead-letter topic is no group's",
    "owned-topic": "a retry or dead-letter topic belongs to its group",
    "foreign-retry-topic": "a retry topic that is used as a group must be the group's own",
    "retry-topic-of-pop": "it stands for the topic that was popped from as well",
    "offsets": "Sub is enough for the offsets of a queue, as Get is",
    "lite-topic": "a lite queue belongs to its parent topic",
    "topic-of-nobody": "such a topic that names nobody is refused",
    "everybodys-messages": "topics that hold messages of all topics are read by Super users only",
    "half-topic": "the end of a transaction is checked where the half message is found",
    "source-group": "the group that positions are copied from is checked too",
    "unchecked-topic": "the topic of what was received is checked as well as the group",
    "every-client": "the group is checked whatever kind of client the call says it comes from",
    "every-message": "the topic of every message is checked, not that of the first",
}
"""Names of the rules by which a request leads to other checks than Apache's."""


class Check(NamedTuple):
    """One resource, and the actions of which any one is enough."""

    type: str
    name: str | None
    actions: frozenset[str]


class Refused(Exception):
    """A request that mqguard refuses without a check."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def refuse_topics_for_groups(*groups: str) -> None:
    """Refuse the name of a retry or dead-letter topic in place of a group.

    Raises:
        Refused: A name is one of them.
    """
    if any(group.startswith((RETRY, DLQ)) for group in groups):
        raise Refused("topic-for-group")


def owned(topic: str, actions: frozenset[str], group: str | None, marks: str, rules: set[str]) -> Check:
    """Return the check of a topic, or of its owner.

    Args:
        topic: Its name.
        actions: Actions of the request on it.
        group: Group of the request, to which a retry topic must belong; None if there is none.
        marks: Separators that may follow that group in the name of a topic of pop.
        rules: Set to which the applied rules are added.

    Raises:
        Refused: It has no owner, belongs to another group, or holds messages of all users.
    """
    if topic.startswith(RETRY) and group is not None and topic != RETRY + group:
        own = topic.removeprefix(RETRY + group)
        if own == topic or not marks or own[0] not in marks:
            raise Refused("foreign-retry-topic")
        rules.add("retry-topic-of-pop")
        return owned(own[1:], actions, None, marks, rules)
    if topic.startswith((RETRY, DLQ)):
        # A retry topic of pop, `%RETRY%group+topic`, belongs to the group: a group's name has no `+`.
        owner = topic.removeprefix(RETRY).partition("+")[0] if topic.startswith(RETRY) else topic.removeprefix(DLQ)
        if not owner.strip():
            raise Refused("topic-of-nobody")
        rules.add("owned-topic")
        # A write to a group's topic is a consumption as the group.
        return Check("Group", owner, frozenset("Sub" if action == "Pub" else action for action in actions))
    if topic.startswith(LITE):
        parent, _, lite = topic.removeprefix(LITE).partition("$")
        if not lite:
            raise Refused("topic-of-nobody")
        rules.add("lite-topic")
        return Check("Topic", parent, actions)
    if topic in ALL_MESSAGES and "Sub" in actions:
        raise Refused("everybodys-messages")
    return Check("Topic", topic, actions)
