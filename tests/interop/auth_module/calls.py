"""gRPC calls with valid and invalid credentials, as lines of the kind `signatures`."""

from __future__ import annotations

import hmac
import random
from typing import Any

Json = dict[str, Any]

KEYS = ("alice", "bob", "a:b", "a=b", "a/b", "a b", "Ab.c-d_e", "")
SECRETS = ("12345678", "s", "sécret", "密钥", "s" * 65)
TIMES = ("20240102T030405Z", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.123456789+08:00", "0", " ", "x y", "é", "a,b")
TYPES = ("SendMessageRequest", "ReceiveMessageRequest", "TelemetryCommand", "QueryRouteRequest")
OTHER_ITEMS = (
    "SignedHeaders=x-mq-date-time", "SignedHeaders=x-mq-date-time", "", " ", "junk", "=", "=x", "a=", "a=b=c", "Signature", "Credential",
    "credential=bob", "signature=00", "Credential=", "Credential=/", "Credential=//", "Credential=/x", "Signature=", "Signature=0", "Signature=zz",
    "Signature=0x00", "Signature=00", "Signature= 00", " Credential=bob", "Credential = bob", "Credential= bob", "Credential=é", "Signature=é",
)  # fmt: skip


def call(chosen: random.Random) -> Json:
    """Return a call with a right signature, a wrong signature or a malformed header."""
    name, secret, time = chosen.choice(KEYS), chosen.choice(SECRETS), chosen.choice(TIMES)
    user: Json | None = {"name": name or "alice", "password": secret, "type": "Normal", "status": "enable"}
    assert user is not None
    match chosen.randrange(12):
        case 0:
            user = None
        case 1:
            user["status"] = "disable"
        case 2:
            user["password"] = chosen.choice(("another", None, ""))
        case 3:
            user |= {"status": "disable", "password": "another"}
        case _:
            pass
    digest = hmac.digest(secret.encode(), time.encode(), "sha1").hex()
    headers = [["authorization", _authorization(name, digest, chosen)], ["x-mq-date-time", time]]
    if chosen.random() < 0.1:
        spoil = chosen.choice((_drop, _empty, _repeat))
        spoil(headers, chosen)
    return {"what": "grpc", "type": chosen.choice(TYPES), "metadata": headers, "user": user}


def _authorization(name: str, digest: str, chosen: random.Random) -> str:
    credential = name + chosen.choice(("", "", "//Rocketmq", "/cn/RocketMQ", "/"))
    digits = chosen.choice((digest, digest.upper()))
    items = [f"Credential={credential}", "SignedHeaders=x-mq-date-time", f"Signature={digits}"]
    space, comma, end = " ", ", ", ""
    if chosen.random() < 0.4:
        for _ in range(chosen.randint(1, 2)):
            items.insert(chosen.randint(0, len(items)), chosen.choice(OTHER_ITEMS))
        if chosen.random() < 0.3:
            del items[chosen.randrange(len(items))]
        chosen.shuffle(items)
    if chosen.random() < 0.2:
        space, comma = chosen.choice((" ", "  ", "", "\t")), chosen.choice((", ", ",", " , ", ",  ", ",,", ";"))
        end = chosen.choice(("", ",", ", ", ",,", " "))
    return f"{chosen.choice(('MQv2-HMAC-SHA1', 'MQv2-HMAC-SHA1', 'x', ''))}{space}{comma.join(items)}{end}"


def _drop(headers: list[list[str]], chosen: random.Random) -> None:
    del headers[chosen.randrange(len(headers))]


def _empty(headers: list[list[str]], chosen: random.Random) -> None:
    chosen.choice(headers)[1] = ""


def _repeat(headers: list[list[str]], chosen: random.Random) -> None:
    name, _ = chosen.choice(headers)
    headers.insert(chosen.randint(0, len(headers)), [name, chosen.choice(("x", "", "x Credential=bob"))])
