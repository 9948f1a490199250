"""Users, policies and requests that match each other often, as lines of the kind `decisions`."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from tests.interop.auth_module.texts import ACTIONS, TYPES

Json = dict[str, Any]

REQUESTS = 40
"""Number of requests of a scenario."""

NAMES = (
    ("a", "ab", "aba", "abab", "b", "ba"),
    ("a", "A", "a:b", "a b", "a.b", "ab"),
    ("é", "éa", "e\u0301", "e", "主a", "主"),
    ("😀", "😀😀", "😁", "😀a", "a", "a😀"),
    ("%RETRY%a", "%DLQ%a", "a", "%RETRY%ab", "ab", "%"),
    ("a", "a%a", "a%ab", "ab%a", "b%a", "a%"),
)
"""Names of a scenario, some of them several times."""
BLANKS = (None, "", " ", "\t", "\u2003", "\u00a0")
ELSEWHERE = ("zz", "a*", "*", "abababab")

IPS = (
    "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.1.2.3", "192.168.0.1", "0.0.0.1", "255.255.255.255", "0.0.0.0",
    "::1", "[0:0:0:0:0:0:0:1]", "[2001:db8:0:0:0:0:0:1]", "2001:db8::1", "2001:0db8::1", "fe80::1", "[fe80:0:0:0:0:0:0:1%1]",
)  # fmt: skip
ODD_IPS = (None, "", "1::2::3", "[10.0.0.1]", "::ffff:10.0.0.1", "[::ffff:10.0.0.1]", "10.1", "167772161", "fe80::1%1")
SOURCES = (
    "10.0.0.1", "10.0.0.2", "10.0.0.0/31", "10.0.0.1/32", "10.0.0.7/8", "0.0.0.0/0", "0.0.0.0/8", "192.168.0.0/16", "255.255.255.255/1",
    "::1", "::/0", "::1/128", "2001:db8::1", "2001:db8::/32", "2001:DB8::1/127", "fe80::1", "fe80::/10", "::/96", "::a00:1",
)  # fmt: skip
MAPPED_SOURCES = (
    "::ffff:10.0.0.1",
    "::ffff:10.0.0.0/8",
    "::FFFF:10.0.0.1/104",
    "::ffff:a00:1/128",
    "::ffff:0.0.0.0/96",
)
ODD_SOURCES = (
    "10.0.0.0/+8",
    "10.0.0.0/8/",
    "10/8",
    "10.1/16",
    "::ffff:10.0.0.1/40",
    "*",
    "10.0.0.*",
    "10.0.0.0/33",
    "::/129",
    "[::1]/128",
)
ODD_KEYS = (
    "Any:x",
    "any",
    "Unknown:x",
    "Topic:",
    "Group",
    "Topic:a*b*",
    "Topic:**",
    "Topic:a*b",
    "Topic:*a",
    "Foo:x",
    " Topic:a",
    "**",
)


@dataclasses.dataclass(frozen=True)
class _Scene:
    """Parts of the entries and requests of a scenario, shared so that they match."""

    chosen: random.Random
    names: tuple[str, ...]
    types: tuple[str, ...]
    actions: tuple[str, ...]
    odd: bool

    @property
    def name(self) -> str:
        return self.chosen.choice(self.names)

    @property
    def type(self) -> str:
        return self.chosen.choice(self.types)


def world(chosen: random.Random) -> Json:
    """Return a scenario."""
    subjects = ("alice", "bob", "carol", "主")[: chosen.choice((1, 2, 2, 3, 4))]
    actions = tuple(chosen.sample(ACTIONS[1:], 3))
    types = tuple(chosen.sample(TYPES, 2))
    scene = _Scene(chosen, chosen.choice(NAMES), types, actions, odd=chosen.random() < 0.15)
    return {
        "users": [
            {"name": name, "type": _rarely(chosen, "Super", "Normal"), "status": _rarely(chosen, "disable", "enable")}
            for name in subjects
        ],
        "acls": [
            {"subject": f"User:{name}", "policies": _policies(scene)}
            for name in (*subjects, "orphan")
            if chosen.random() < 0.95
        ],
        "requests": [_request(scene, subjects) for _ in range(REQUESTS)],
    }


def _rarely(chosen: random.Random, rare: str, usual: str) -> str:
    return rare if chosen.random() < 0.05 else usual


def _policies(scene: _Scene) -> list[Json]:
    chosen = scene.chosen
    kinds: tuple[str, ...] = chosen.choice(
        (("Custom",), ("Custom", "Default"), ("Default", "Custom"), ("Default",), ("Custom", "Default"), ("Custom",))
    )
    if chosen.random() < 0.1:
        kinds += chosen.choice((("Custom",), ("Default",), ("Custom", "Default")))
    few = chosen.choice((2, 4, 8, 16))
    return [{"policyType": kind, "entries": [_entry(scene) for _ in range(chosen.randint(1, few))]} for kind in kinds]


def _entry(scene: _Scene) -> Json:
    chosen = scene.chosen
    actions = chosen.choices((*scene.actions, "All"), k=chosen.choice((1, 1, 2, 3)))
    sources = [_source(chosen) for _ in range(chosen.choice((0, 0, 0, 1, 2)))]
    key = _key(scene)
    if scene.odd and chosen.random() < 0.2:
        match chosen.randrange(4):
            case 0 | 1:
                key = chosen.choice(ODD_KEYS)
            case 2:
                actions.append(chosen.choice(("Any", "Unknown", "Foo")))
            case _:
                sources.append(chosen.choice(ODD_SOURCES))
    decision = chosen.choice(("Allow", "Allow", "Deny"))
    return {"resource": key, "actions": actions, "sourceIps": sources, "decision": decision}


def _source(chosen: random.Random) -> str:
    return chosen.choice(MAPPED_SOURCES if chosen.random() < 0.05 else SOURCES)


def _key(scene: _Scene) -> str:
    chosen = scene.chosen
    kind = scene.type.lower() if chosen.random() < 0.1 else scene.type
    match chosen.randrange(8):
        case 0:
            return "*"
        case 1:
            return f"{kind}:*"
        case 2 | 3 | 4:
            name = scene.name
            return f"{kind}:{name[: chosen.randint(1, len(name))]}*"
        case _:
            return f"{kind}:{scene.name}"


def _request(scene: _Scene, subjects: tuple[str, ...]) -> Json:
    chosen = scene.chosen
    subject: str | None = f"User:{chosen.choice(subjects)}"
    if chosen.random() < 0.02:
        subject = chosen.choice((None, "User:orphan", "User:nobody", "User:Alice"))
    kind: str = scene.type
    name: str | None = scene.name
    actions = chosen.sample(scene.actions, chosen.choice((1, 1, 2, 2, 3)))
    ip = chosen.choice(ODD_IPS if chosen.random() < 0.15 else IPS)
    match chosen.randrange(60):
        case 0 | 1:
            name = chosen.choice(BLANKS)
        case 2 | 3:
            name = chosen.choice(ELSEWHERE)
        case 4:
            kind = chosen.choice(("Any", "Unknown"))
        case 5:
            actions = chosen.choice(([], ["Any"], ["All"], ["Unknown", "Pub"], ["All", "Sub"], ["Any", "Get"]))
        case 6 | 7:
            kind, actions = chosen.choice(TYPES), [chosen.choice(ACTIONS)]
        case _:
            pass
    return {"subject": subject, "type": kind, "name": name, "actions": actions, "ip": ip}
