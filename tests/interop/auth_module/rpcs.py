"""Comparison of the checks of gRPC calls by Apache's module with those of mqguard."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from mqguard.testing.vectors.contexts import answer
from tests.interop.auth_module.belonging import Check, Refused, owned, refuse_topics_for_groups
from tests.interop.auth_module.peer import AuthModule, Unexplained, compare_caller
from tests.interop.auth_module.requests import BLANKS, GROUPS, SYSTEM_TOPICS, TOPICS

Json = dict[str, Any]

PUB, SUB, PUB_SUB = frozenset({"Pub"}), frozenset({"Sub"}), frozenset({"Pub", "Sub"})

CLIENT_TYPES = (
    "CLIENT_TYPE_UNSPECIFIED",
    "PRODUCER",
    "PUSH_CONSUMER",
    "SIMPLE_CONSUMER",
    "PULL_CONSUMER",
    "LITE_PUSH_CONSUMER",
)
NOT_SERVED = {"PullMessageRequest", "GetOffsetRequest", "UpdateOffsetRequest", "QueryOffsetRequest"}
"""Calls that Apache does not know and that mqguard guards."""
SETTLING = {"AckMessageRequest", "ChangeInvisibleDurationRequest", "ForwardMessageToDeadLetterQueueRequest"}


def compare_calls(module: AuthModule, seed: int, numbers: Iterable[int]) -> Counter[str]:
    """Compare the calls with these numbers; the same seed always creates the same ones.

    Returns:
        The number of calls (`all`), of those with the same checks (`same`), and of those with others, by the name of the
        rule.

    Raises:
        Unexplained: The checks of a call do not follow from Apache's by the rules.
    """
    found: Counter[str] = Counter()
    numbers = list(numbers)
    lines = (_line(random.Random(f"{seed}/{number}")) for number in numbers)
    for number, (line, theirs) in zip(numbers, module.answers("contexts", lines), strict=True):
        try:
            found.update(("all", *_compare(line, theirs)))
        except Unexplained as error:
            raise Unexplained(f"calls, seed {seed}, call {number}: {error}") from None
    return found


def _compare(line: Json, theirs: Any) -> set[str]:
    out = answer(line)["out"]
    apache, mqguard = _checks(theirs), _checks(out)
    rules: set[str] = set()
    try:
        wanted = _wanted(line, apache, rules)
    except Refused as refused:
        wanted, rules = None, {refused.rule}
    if mqguard != wanted and not (line["type"] in NOT_SERVED and apache == [] and mqguard != []):
        raise Unexplained(
            f"{_shown(line)}: Apache checks {_shown(theirs)}, we are to check {wanted}, and do {_shown(out)}"
        )
    if theirs and out and isinstance(theirs, list) and isinstance(out, list):
        compare_caller(theirs[0], out[0])
    if mqguard == apache:
        return {"same"}
    return rules or {"no-check"}


def _wanted(line: Json, checks: list[Check] | None, rules: set[str]) -> list[Check] | None:
    """Return our checks by the rules, None for a call that is refused without a check."""
    kind, said = line["type"], line["json"]
    if checks is None:
        return None
    if kind in NOT_SERVED:
        rules.add("no-check")
        return checks
    if kind == "TelemetryCommand":
        return _of_settings(said, rules)
    group = said.get("group", {}).get("name")
    refuse_topics_for_groups(group or "")
    match kind:
        case "SendMessageRequest":
            topics = [_needed(message["topic"]) for message in said["messages"]]
            if len(set(topics)) > 1:
                rules.add("every-message")
            return _unique(owned(topic, PUB, None, "", rules) for topic in topics)
        case "QueryRouteRequest" | "RecallMessageRequest" | "EndTransactionRequest":
            actions = PUB_SUB if kind == "QueryRouteRequest" else PUB
            return [owned(said["topic"]["name"], actions, None, "", rules)]
        case "HeartbeatRequest":
            return _of_client(said, group, rules)
        case "NotifyClientTerminationRequest":
            return checks
        case _:
            return _of_consumer(kind, said, checks, rules)


def _of_consumer(kind: str, said: Json, checks: list[Check], rules: set[str]) -> list[Check]:
    """Return the checks of group and topic, whether or not Apache checks the topic."""
    if not checks:
        rules.add("no-check")
    elif len(checks) == 1:
        rules.add("unchecked-topic")
    resource = said["messageQueue"].get("topic") if kind == "ReceiveMessageRequest" else said.get("topic")
    group, topic = _needed(said.get("group")), _needed(resource)
    marks = "+_" if kind in SETTLING else "+"
    return _unique([Check("Group", group, SUB), owned(topic, SUB, group, marks, rules)])


def _of_client(said: Json, group: str | None, rules: set[str]) -> list[Check]:
    """Return the check of the group for any type of client; a producer may name no group."""
    kind = said.get("clientType")
    if kind == "PRODUCER" and not (group or "").strip():
        return []
    if kind not in {"PUSH_CONSUMER", "SIMPLE_CONSUMER", "PULL_CONSUMER"}:
        rules.add("every-client")
    return [Check("Group", _needed(said.get("group")), SUB)]


def _of_settings(said: Json, rules: set[str]) -> list[Check]:
    settings = said.get("settings", {})
    if "publishing" in settings:
        topics = [topic["name"] for topic in settings["publishing"]["topics"]]
        return _unique(owned(topic, PUB, None, "", rules) for topic in topics)
    if "subscription" not in settings:
        return []
    group = settings["subscription"]["group"]["name"]
    refuse_topics_for_groups(group)
    topics = [entry["topic"]["name"] for entry in settings["subscription"]["subscriptions"]]
    return _unique([Check("Group", group, SUB), *(owned(topic, SUB, group, "+", rules) for topic in topics)])


def _needed(resource: Json | None) -> str:
    name: str = (resource or {}).get("name", "")
    if not name.strip():
        raise Refused("missing-field")
    return name


def _unique(checks: Iterable[Check]) -> list[Check]:
    return list(dict.fromkeys(checks))


def _checks(said: Any) -> list[Check] | None:
    """Return the checks, each once; None for a refusal."""
    if isinstance(said, dict):
        return None
    return _unique(Check(each["type"], each["name"], frozenset(each["actions"])) for each in said or ())


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line(chosen: random.Random) -> Json:
    kind = chosen.choice(tuple(_MESSAGES))
    headers = [
        ["x-mq-authorization-ak", chosen.choice(("alice", "bob", "a:b"))],
        ["rpc-remote-address", "10.0.0.1:51234"],
    ]
    return {
        "what": "grpc",
        "type": kind,
        "json": _MESSAGES[kind](chosen),
        "metadata": headers[chosen.random() < 0.05 :],
    }


def _named(name: str | None) -> Json:
    return {} if name is None else {"name": name}


def _group(chosen: random.Random) -> Json:
    name: str | None = chosen.choice(GROUPS)
    match chosen.randrange(20):
        case 0:
            name = chosen.choice(BLANKS)
        case 1:
            name = chosen.choice(("%RETRY%g", "%DLQ%g"))
        case _:
            pass
    return _named(name)


def _topic(chosen: random.Random) -> Json:
    topic, group = chosen.choice(TOPICS), chosen.choice(GROUPS)
    name: str | None = topic
    match chosen.randrange(12):
        case 0:
            name = chosen.choice(BLANKS)
        case 1 | 2:
            name = chosen.choice(
                (f"%RETRY%{group}", f"%RETRY%{group}+{topic}", f"%RETRY%{group}_{topic}", f"%DLQ%{group}")
            )
        case 3:
            name = chosen.choice((f"%LMQ%${topic}$l", "%LMQ%$t", "%RETRY%", "%DLQ% ", *SYSTEM_TOPICS))
        case _:
            pass
    return _named(name)


def _both(chosen: random.Random) -> Json:
    return {"group": _group(chosen), "topic": _topic(chosen)}


def _on_queue(chosen: random.Random) -> Json:
    queue = {"messageQueue": {"topic": _topic(chosen), "id": 1}} if chosen.random() < 0.95 else {}
    return {"group": _group(chosen), **queue}


def _settings(chosen: random.Random) -> Json:
    match chosen.randrange(6):
        case 0:
            return {}
        case 1:
            return {"settings": {}}
        case 2 | 3:
            return {"settings": {"publishing": {"topics": [_topic(chosen) for _ in range(chosen.randint(0, 3))]}}}
        case _:
            entries = [{"topic": _topic(chosen)} for _ in range(chosen.randint(0, 3))]
            return {"settings": {"subscription": {"group": _group(chosen), "subscriptions": entries}}}


_MESSAGES: dict[str, Callable[[random.Random], Json]] = {
    "SendMessageRequest": lambda chosen: {
        "messages": [{"topic": _topic(chosen)} for _ in range(chosen.choice((0, 1, 1, 1, 2, 3)))]
    },
    "QueryRouteRequest": lambda chosen: {"topic": _topic(chosen)},
    "RecallMessageRequest": lambda chosen: {"topic": _topic(chosen)},
    "EndTransactionRequest": lambda chosen: {"topic": _topic(chosen)},
    "HeartbeatRequest": lambda chosen: {"group": _group(chosen), "clientType": chosen.choice(CLIENT_TYPES)},
    "NotifyClientTerminationRequest": lambda chosen: {"group": _group(chosen)},
    "TelemetryCommand": _settings,
    "QueryAssignmentRequest": _both,
    "AckMessageRequest": _both,
    "ChangeInvisibleDurationRequest": _both,
    "ForwardMessageToDeadLetterQueueRequest": _both,
    "SyncLiteSubscriptionRequest": lambda chosen: {**_both(chosen), "liteTopicSet": chosen.choice(([], ["l"]))},
    "ReceiveMessageRequest": _on_queue,
    "PullMessageRequest": _on_queue,
    "GetOffsetRequest": _on_queue,
    "UpdateOffsetRequest": _on_queue,
    "QueryOffsetRequest": lambda chosen: {"messageQueue": {"topic": _topic(chosen), "id": 1}},
}
