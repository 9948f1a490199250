"""Comparison of how Apache's module and mqguard read the texts of policies, and the rules by which they differ.

The texts are random, but made of parts of such texts, so that many are nearly right.
"""

from __future__ import annotations

import ipaddress
import json
import random
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from mqguard.testing.vectors.parsers import answer
from tests.interop.auth_module.peer import AuthModule, Unexplained
from tests.interop.auth_module.texts import Key, key_means, lies_in_family, lies_in_number, sane_key

Json = dict[str, Any]

WORDS = {
    "action": ("Unknown", "All", "Any", "Pub", "Sub", "Create", "Update", "Delete", "Get", "List"),
    "resource-type": ("Unknown", "Any", "Cluster", "Namespace", "Topic", "Group"),
    "decision": ("Allow", "Deny"),
    "policy-type": ("Custom", "Default"),
    "user-type": ("Super", "Normal"),
    "user-status": ("enable", "disable"),
    "subject-type": ("User",),
}
LIKE = str.maketrans("iIsS", "\u0131\u0130\u017f\u017f")
"""Letters that Java takes for others in comparisons without case."""

RULES = {
    "letter-case": "words are of ASCII letters",
    "star": "a `*` is the last character of a name or none",
    "unnamed": "a resource has a name",
    "any-typed": "a resource of any type has no name, and none is of an unknown type",
    "address-form": "a source is one address or CIDR range in its full form",
    "address": "addresses are compared within one family",
}
"""Names of the rules by which mqguard reads a text differently."""

ACCEPTED = ("accepted", "ip", "ipv4", "ipv6", "cidr4", "cidr6")


def compare_readings(module: AuthModule, seed: int, numbers: Iterable[int]) -> Counter[str]:
    """Compare the texts with these numbers; the same seed always creates the same ones.

    Returns:
        The number of texts (`all`), of those that both read alike (`same`) and of those among them with a meaning
        (`read`). Then the number of those that mqguard reads differently, by the name of the rule.

    Raises:
        Unexplained: Apache or mqguard reads a text in another way than the rules.
    """
    found: Counter[str] = Counter()
    numbers = list(numbers)
    lines = (_line(random.Random(f"{seed}/{number}")) for number in numbers)
    for number, (line, theirs) in zip(numbers, module.answers("parsing", lines), strict=True):
        ours = answer(line)["out"]
        rules = _COMPARE.get(line["what"], _compare_words)(line, theirs, ours)
        if rules is None or (theirs != ours) != bool(rules):
            raise Unexplained(
                f"readings, seed {seed}, text {number}: {_shown(line)}: Apache {_shown(theirs)}, mqguard {_shown(ours)}"
            )
        found.update(("all", *(rules or {"same"})))
        found["read"] += not rules and theirs not in (None, False, dict.fromkeys(ACCEPTED, False))
    return found


def _compare_words(line: Json, theirs: Any, ours: Any) -> set[str] | None:
    """Return the rules by which mqguard reads a word differently; None if no rule allows it."""
    word = next((word for word in WORDS[line["what"]] if _alike(word, line["in"])), None)
    plain = word if line["in"].isascii() else None
    if (theirs, ours) != (word, plain):
        return None
    return {"letter-case"} if word != plain else set()


def _compare_resources(line: Json, theirs: Any, ours: Any) -> set[str] | None:
    kind, colon, name = line["in"].partition(":")
    word = next((word for word in WORDS["resource-type"] if _alike(word, kind)), None)
    meant = None if word is None and line["in"] != "*" else key_means(f"{word or ''}{colon}{name}" if word else "*")
    wanted = meant if kind.isascii() and sane_key(line["in"]) else None
    if (theirs, ours) != (_view(meant), _view(wanted)):
        return None
    if wanted == meant:
        return set()
    if not kind.isascii():
        return {"letter-case"}
    if word in {"Any", "Unknown"}:
        return {"any-typed"}
    return {"star"} if "*" in name[:-1] else {"unnamed"}


def _compare_subjects(line: Json, theirs: Any, ours: Any) -> set[str] | None:
    kind, _, name = line["in"].partition(":")
    meant = {"type": "User", "username": name, "key": f"User:{name}"} if _alike("User", kind) else None
    wanted = meant if kind.isascii() else None
    if (theirs, ours) != (meant, wanted):
        return None
    return {"letter-case"} if meant != wanted else set()


def _compare_sources(line: Json, theirs: Any, ours: Any) -> set[str] | None:
    """Check that both take all addresses that the system takes, and mqguard no others."""
    if _is_plain(line["in"]) != ours["accepted"] or (ours["accepted"] and not theirs["accepted"]):
        return None
    return {"address-form"} if theirs != ours else set()


def _compare_matches(line: Json, theirs: Any, ours: Any) -> set[str] | None:
    by_number = lies_in_number(line["in"], line["range"], strictly=True)
    by_family = lies_in_family(line["in"], line["range"], strictly=True)
    if (theirs, ours) != (by_number, by_family):
        return None
    return {"address"} if by_number != by_family else set()


_COMPARE: dict[str, Callable[[Json, Any, Any], set[str] | None]] = {
    "resource": _compare_resources,
    "subject": _compare_subjects,
    "ip": _compare_sources,
    "ip-match": _compare_matches,
}


def _alike(word: str, text: str) -> bool:
    """Compare without case as Java does: letter by letter, by upper case or lower case of upper case."""
    return len(word) == len(text) and all(
        a.upper() == b.upper() or a.upper().lower() == b.upper().lower() or {a, b} <= set("iI\u0130\u0131")
        for a, b in zip(word, text, strict=True)
    )


def _view(key: Key | None) -> Json | None:
    if key is None:
        return None
    star = "" if key.pattern == "LITERAL" else "*"
    printed = "*" if key.type == "Any" else f"{key.type}:{key.name}{star}"
    name = None if key.pattern == "ANY" else key.name
    return {"type": key.type, "name": name, "pattern": key.pattern, "key": printed}


def _is_plain(text: str) -> bool:
    """True if the system's C library reads the address, and the prefix fits it."""
    base, slash, prefix = text.partition("/")
    for family, bits in ((socket.AF_INET, 32), (socket.AF_INET6, 128)):
        try:
            socket.inet_pton(family, base)
        except (OSError, ValueError, UnicodeError):
            continue
        mapped = family == socket.AF_INET6 and ipaddress.IPv6Address(base).ipv4_mapped is not None
        if not slash:
            return True
        if not re.fullmatch("[0-9]+", prefix):
            return False
        return int(prefix) <= bits and not (mapped and 32 < int(prefix) < 96)
    return False


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line(chosen: random.Random) -> Json:
    what = chosen.choice(("ip", "ip", "ip-match", "ip-match", "resource", "resource", "subject", *WORDS))
    match what:
        case "resource":
            kind = _word(chosen, WORDS["resource-type"])
            name = "".join(chosen.choices(("a", "b", "*", ":", "é", "%", " ", "%RETRY%"), k=chosen.randint(0, 4)))
            return {
                "what": what,
                "in": chosen.choice((f"{kind}:{name}", f"{kind}:{name}", f"{kind}:{name}*", kind, "*", name or "x")),
            }
        case "subject":
            return {
                "what": what,
                "in": f"{_word(chosen, ('User', 'User', 'Topic'))}{chosen.choice((':', ':', ''))}{chosen.choice(('a', '', 'a:b', ' é', ':'))}",
            }
        case "ip":
            return {"what": what, "in": _source(chosen)}
        case "ip-match":
            return {"what": what, **_near(chosen)}
        case _:
            return {"what": what, "in": _word(chosen, WORDS[what])}


def _word(chosen: random.Random, words: tuple[str, ...]) -> str:
    word = chosen.choice((str, str.lower, str.upper, str.swapcase))(chosen.choice(words))
    match chosen.randrange(10):
        case 0:
            return word.translate(LIKE)
        case 1:
            return chosen.choice((f" {word}", f"{word} ", word[:-1], f"{word}s", f"{word}\u0301", ""))
        case _:
            return word


def _source(chosen: random.Random) -> str:
    """Return an address with or without a prefix; one in two is slightly wrong."""
    tidy = chosen.random() < 0.5
    if chosen.random() < 0.5:
        octets = ("0", "1", "10", "255") if tidy else ("0", "1", "10", "255", "256", "01", "000", "1000", "", "-1", "x")
        count = 4 if tidy or chosen.random() < 0.5 else chosen.randint(1, 5)
        base = ".".join(chosen.choices(octets, k=count))
    else:
        groups = (
            ("0", "1", "ffff", "2001", "db8", "A") if tidy else ("0", "1", "ffff", "FFFF", "12345", "g", "", "10.0.0.1")
        )
        parts = chosen.choices(groups, k=chosen.randint(0, 8 if tidy else 9))
        parts.insert(chosen.randint(0, len(parts)), "")
        base = chosen.choice((":".join(parts), f"::{':'.join(parts[:3])}", f"::ffff:10.0.0.{len(parts)}"))
        base += "" if tidy else chosen.choice(("", "", "%1", "%eth0", "]"))
    prefix = chosen.choice(("", "", "/0", "/8", "/24", "/32", "/64", "/96", "/128"))
    if not tidy:
        prefix = chosen.choice(
            (prefix, prefix, "/33", "/129", "/-1", "/+8", "/08", "/x", "/", "/8/", "/8/8", "/ 8", "//8")
        )
    return base + prefix


def _near(chosen: random.Random) -> Json:
    """Return an address and a range that contains it or nearly does."""
    bits, kind = chosen.choice(((32, ipaddress.IPv4Address), (128, ipaddress.IPv6Address)))
    base, prefix = chosen.getrandbits(chosen.choice((8, 32, bits))) % (1 << bits), chosen.randint(0, bits)
    inside = base ^ (chosen.getrandbits(bits) >> chosen.choice((prefix, prefix, max(prefix - 1, 0))))
    other = chosen.choice((ipaddress.IPv4Address, ipaddress.IPv6Address)) if inside < 1 << 32 else kind
    return {"in": str(other(inside)), "range": f"{kind(base)}/{prefix}"}
