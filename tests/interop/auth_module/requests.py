"""Requests of every code that Apache 5.5.0 has, as lines of the kind `contexts`."""

from __future__ import annotations

import base64
import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

HEARTBEAT, LOCK, UNLOCK, BATCH, SEND_V2 = 34, 41, 42, 320, 310
UNDECLARED = {35: "clientID", 105: "topic", 314: "srcGroup"}
"""Fields, by code, that Apache does not declare and that one of the two sides checks."""

GROUPS = ("g", "orders-group", "é组")
TOPICS = ("t", "orders", "主题", "TBW102", "a b")
CLUSTERS = ("DefaultCluster", "other")
SYSTEM_TOPICS = ("SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "rmq_sys_wheel_timer", "DefaultCluster_REPLY_TOPIC")
BLANKS = (None, "", " ", "\u2003")


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a request's header.

    Attributes:
        name: Its name in the request.
        kind: Its Java type.
        resource: Resource type by Apache's declaration, None if there is none.
        splitter: Separator of several names, empty for one name.
    """

    name: str
    kind: str
    resource: str | None
    splitter: str


@dataclasses.dataclass(frozen=True)
class Code:
    """A request code and its header."""

    number: int
    fields: tuple[Field, ...]

    @property
    def naming(self) -> list[str]:
        """The fields that its checks use."""
        undeclared = [UNDECLARED[self.number]] if self.number in UNDECLARED else []
        return [field.name for field in self.fields if field.resource] + undeclared


@dataclasses.dataclass(frozen=True)
class GeneratedRequest:
    """A request, and the parts that it was made of.

    Attributes:
        line: The request as both sides read it.
        code: Its code and header.
        blanked: The field whose name was removed, None if all are there.
    """

    line: Json
    code: Code
    blanked: str | None = None


def codes_of(told: list[Json]) -> list[Code]:
    """Return the codes that the module lists. A batch has the header of a single message, which it does not list."""
    found = [
        Code(
            code["code"],
            tuple(
                Field(field["name"], field["type"], field["resource"], field["splitter"] or "")
                for field in code["fields"]
            ),
        )
        for code in told
    ]
    send = next(code for code in found if code.number == SEND_V2)
    return [dataclasses.replace(send, number=BATCH) if code.number == BATCH else code for code in found]


def request(chosen: random.Random, codes: list[Code]) -> GeneratedRequest:
    """Return a request of one of the codes, with all names well formed or with one of them missing."""
    # Codes without names are drawn less often.
    code = chosen.choice([code for code in codes if code.naming or code.number in _BODIES or chosen.random() < 0.2])
    names = _Names(chosen)
    always = {*code.naming, *(field.name for field in code.fields if _namer(field))}
    ext = {field.name: _value(field, names) for field in code.fields if field.name in always or chosen.random() < 0.9}
    if code.number == 17:
        ext["topicFilterType"] = chosen.choice(("SINGLE_TAG", "MULTI_TAG"))
    if chosen.random() < 0.95:
        ext["AccessKey"] = chosen.choice(("alice", "bob", "é"))
    blanked = None
    if code.naming and chosen.random() < 0.1:
        blanked = chosen.choice(code.naming)
        del ext[blanked]
        if (blank := chosen.choice(BLANKS)) is not None:
            ext[blanked] = blank
    body = _BODIES[code.number](names) if code.number in _BODIES else None
    line = {
        "what": "remoting",
        "code": code.number,
        "ext": ext,
        "body": None if body is None else base64.b64encode(json.dumps(body).encode()).decode(),
        "remote": {"ip": chosen.choice(("10.0.0.1", "::1", "2001:db8::1")), "port": 51234},
        "proxy": {"ip": "192.0.2.7", "port": "1"} if chosen.random() < 0.1 else None,
    }
    return GeneratedRequest(line, code, blanked)


class _Names:
    """The names of one request: a few groups and topics, some of them related."""

    def __init__(self, chosen: random.Random) -> None:
        self.chosen = chosen
        self._group = chosen.choice(GROUPS)
        self._plain = chosen.random() < 0.5

    @property
    def group(self) -> str:
        chosen = self.chosen
        if self._plain or chosen.random() < 0.9:
            return self._group
        other = chosen.choice(GROUPS)
        return chosen.choice((other, f"%RETRY%{other}", f"%DLQ%{other}"))

    @property
    def topic(self) -> str:
        chosen = self.chosen
        topic = chosen.choice(TOPICS)
        if self._plain or chosen.random() < 0.4:
            return topic
        group = chosen.choice((self._group, self._group, *GROUPS))
        return chosen.choice(
            (
                f"%RETRY%{group}",
                f"%RETRY%{group}",
                f"%RETRY%{group}+{topic}",
                f"%RETRY%{group}_{topic}",
                f"%DLQ%{group}",
                f"%LMQ%${topic}$lite",
                chosen.choice(("%RETRY%", "%DLQ%", "%RETRY% ", "%LMQ%$t", "%OTHER%x")),
                chosen.choice(SYSTEM_TOPICS),
            )
        )

    @property
    def cluster(self) -> str:
        return self.chosen.choice(CLUSTERS)


def _value(field: Field, names: _Names) -> str:
    chosen = names.chosen
    name = _namer(field)
    if name is not None:
        several = chosen.randint(1, 3) if field.splitter else 1
        return field.splitter.join(name(names) for _ in range(several))
    match field.kind:
        case "Boolean" | "boolean":
            return chosen.choice(("true", "false"))
        case "Integer" | "int" | "Long" | "long":
            return str(chosen.choice((0, 1, 7, 2**31 - 1)))
        case "BoundaryType":
            return chosen.choice(("lower", "upper"))
        case _:
            return chosen.choice(("x", "c@1", "TAGS\u0001TagA\u0002"))


def _namer(field: Field) -> Callable[[_Names], str] | None:
    """Return the function that creates the value of a field with a name, declared or not."""
    lower = field.name.lower()
    if field.kind != "String":
        return None
    if field.resource == "Topic" or lower.endswith("topic"):
        return lambda names: names.topic
    if field.resource == "Group" or lower.endswith("group"):
        return lambda names: names.group
    return (lambda names: names.cluster) if field.resource == "Cluster" else None


def _heartbeat(names: _Names) -> Json:
    chosen = names.chosen
    return {
        "clientID": "c@1",
        "producerDataSet": [{"groupName": "CLIENT_INNER_PRODUCER"}],
        "consumerDataSet": [
            {
                "groupName": names.group,
                "consumeType": "CONSUME_PASSIVELY",
                "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
                "subscriptionDataSet": [
                    {"topic": names.topic, "subString": "*", "subVersion": 1} for _ in range(chosen.randint(0, 3))
                ],
                "unitMode": False,
            }
            for _ in range(chosen.randint(0, 2))
        ],
    }


def _queues(names: _Names) -> Json:
    chosen = names.chosen
    return {
        "consumerGroup": names.group,
        "clientId": "c@1",
        "onlyThisBroker": False,
        "mqSet": [
            {"topic": names.topic, "brokerName": "b", "queueId": number} for number in range(chosen.randint(0, 3))
        ],
    }


_BODIES: dict[int, Callable[[_Names], Json]] = {HEARTBEAT: _heartbeat, LOCK: _queues, UNLOCK: _queues}
