"""Comparison of signatures: the signed bytes, the parsed credentials, and the result of the verification.

The signed bytes are computed here once more, so that Apache's module, mqguard and these few lines agree.
"""

from __future__ import annotations

import base64
import hmac
import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mqguard.testing.vectors.signatures import answer
from tests.interop.auth_module.calls import call
from tests.interop.auth_module.peer import AuthModule, Unexplained

Json = dict[str, Any]

ACCESS_KEY, SIGNATURE, TOKEN, UNIQUE = "AccessKey", "Signature", "SecurityToken", "_UNIQUE_KEY_QUERY"
LAST_WITHOUT_UNIQUE = 399
"""Version 4.9.3, the last whose signatures do not cover `_UNIQUE_KEY_QUERY`."""

NAMES = (
    "a", "b", "c", "A", "B", "topic", "bname", "queueId", "_x", "~", "", " ", "é", "e\u0301", "主", "\uff5a", "😀", "\uffff", "\ue000", "signature",
    "accessKey", "Signature2", "AccessKe", UNIQUE, TOKEN,
)  # fmt: skip
VALUES = ("", "0", "x", "true", "TopicTest", "主题", "😀", "é", "e\u0301", "a\nb", "\x01\x02", " ", "null", "x" * 300)
SECRETS = ("12345678", "s", "sécret", "密钥", "s" * 64, "s" * 65, " ", "00123")
KEYS = ("alice", "bob", "é", "with space", "a/b", "😀", "0")
VERSIONS = (0, 1, 317, 398, 399, 400, 401, 455, 501, 2**31 - 1)
CODES = (10, 11, 34, 310, 3001)

ALONE = "one answer"
"""The rule by which an unknown user, a wrong secret and a user without a secret get the same answer."""


def compare_signatures(module: AuthModule, seed: int, numbers: Iterable[int]) -> Counter[str]:
    """Compare the requests with these numbers; the same seed always creates the same ones.

    Returns:
        The number of requests (`all`), of authenticated ones (`believed`), of those without valid credentials
        (`unreadable`), and of refusals with another message than Apache's (`one answer`).

    Raises:
        Unexplained: A request is signed, read or verified in another way than it must be.
    """
    found: Counter[str] = Counter()
    numbers = list(numbers)
    chosen = (random.Random(f"{seed}/{number}") for number in numbers)
    lines = (call(each) if each.random() < 0.3 else _line(each) for each in chosen)
    for number, (line, theirs) in zip(numbers, module.answers("signatures", lines), strict=True):
        ours = answer(line)
        try:
            found["all"] += 1
            found.update(_signed(line, theirs, ours) if line["what"] == "client" else _believed(line, theirs, ours))
        except Unexplained as error:
            shown = json.dumps(line, ensure_ascii=False)
            raise Unexplained(f"signatures, seed {seed}, request {number}: {error}: {shown}") from None
    return found


def content(ext: dict[str, str | None], body: bytes, version: int) -> bytes:
    """Return the bytes that a signature covers: the values in Java's order of their names, and the body."""
    skipped = {SIGNATURE, UNIQUE} if version <= LAST_WITHOUT_UNIQUE else {SIGNATURE}
    names = sorted(set(ext) - skipped, key=lambda name: name.encode("utf-16-be"))
    values = ("null" if ext[name] is None else str(ext[name]) for name in names)
    return "".join(values).encode() + body


def signature(secret: str, signed: bytes) -> str:
    """Return the signature of these bytes."""
    return base64.b64encode(hmac.digest(secret.encode(), signed, "sha1")).decode()


def _line(chosen: random.Random) -> Json:
    ext: dict[str, str | None] = {
        name: None if chosen.random() < 0.01 else chosen.choice(VALUES)
        for name in chosen.sample(NAMES, chosen.randint(0, 8))
    }
    body = chosen.choice((None, b"", b"x", bytes(range(256)), chosen.randbytes(20)))
    line = {
        "code": chosen.choice(CODES),
        "version": chosen.choice(VERSIONS),
        "ext": ext,
        "body": None if body is None else base64.b64encode(body).decode(),
    }
    if chosen.random() < 0.4:
        secret = chosen.choice(SECRETS) if chosen.random() < 0.95 else chosen.choice((None, ""))
        token = chosen.choice((None, None, "sts", ""))
        who = {"access_key": chosen.choice(KEYS), "secret": secret, "token": token}
        return {"what": "client", **who, "header": None, **line}
    return _sent(chosen, line, body or b"")


def _sent(chosen: random.Random, line: Json, body: bytes) -> Json:
    """Return a request with a right signature or one that was altered afterwards, of a known or unknown user."""
    name, secret, ext = chosen.choice(KEYS), chosen.choice(SECRETS), line["ext"]
    ext[ACCESS_KEY] = name
    ext[SIGNATURE] = signature(secret, content(ext, body, line["version"]))
    user: Json | None = {"name": name, "password": secret, "type": "Normal", "status": chosen.choice(("enable", None))}
    assert user is not None
    match chosen.randrange(24):
        case 0:
            user["password"] = chosen.choice(SECRETS)
        case 1:
            user["status"] = "disable"
        case 2:
            user |= {"status": "disable", "password": "another"}
        case 3:
            user = chosen.choice((None, {**user, "name": "somebody"}))
        case 4:
            user["password"] = chosen.choice((None, ""))
        case 5:
            line["body"] = base64.b64encode(body + b"!").decode()
        case 6 | 7:
            line["version"] = chosen.choice(VERSIONS)
        case 8:
            ext[chosen.choice(NAMES)] = chosen.choice(VALUES)
        case 9:
            ext[SIGNATURE] = chosen.choice((None, "", "x", ext[SIGNATURE].lower(), ext[SIGNATURE] + "=", "é"))
        case 10:
            del ext[chosen.choice((SIGNATURE, ACCESS_KEY))]
        case 11:
            ext[ACCESS_KEY] = chosen.choice(("", None, "nobody"))
        case _:
            pass
    return {"what": "remoting", **line, "user": user}


def _signed(line: Json, theirs: Json, ours: Json) -> list[str]:
    apache, mqguard = theirs["out"], ours["out"]
    if not line["secret"]:
        if "error" not in apache or "error" not in mqguard:
            raise Unexplained(f"without a secret nothing can be signed, and it was: {apache} {mqguard}")
        return []
    _demand_equal("what is signed", apache, mqguard)
    ext = {**line["ext"], ACCESS_KEY: line["access_key"]}
    if line["token"] is not None:
        ext[TOKEN] = line["token"]
    signed = content(ext, _body(line), LAST_WITHOUT_UNIQUE + 1)  # a client covers all fields
    _demand_equal("the content", base64.b64encode(signed).decode(), apache["content"])
    _demand_equal("the signature", signature(line["secret"], signed), apache["signature"])
    return []


def _believed(line: Json, theirs: Json, ours: Json) -> list[str]:
    read, mine = _read(theirs), _read(ours)
    _demand_equal("what is read", read, mine)
    if isinstance(read, str):
        return ["unreadable"]
    if theirs["verify"] == "ok" or ours["verify"] == "ok":
        _demand_equal("what is believed", theirs["verify"], ours["verify"])
        return ["believed"]
    apache, mqguard = theirs["verify"]["message"], ours["verify"]["message"]
    wanted = _words(line["user"], read, apache)
    _demand_equal("what a refused peer hears", wanted, mqguard)
    return [] if wanted == apache else [ALONE]


def _read(answered: Json) -> Json | str:
    """Return the credentials that were read of a request, or the message if there are none."""
    context: Json = answered["context"]
    if "error" in context:
        return str(context["message"])
    # For Apache a request without signed bytes has no content.
    return {**context, "content": context["content"] or None}


def _words(user: Json | None, read: Json, apache: str) -> str:
    """Return our message in place of Apache's; only a right signature gets more than the general refusal."""
    if apache == "username cannot be null.":
        return apache
    right = (
        user is not None
        and user["name"] == read["username"]
        and user["password"]
        and signature(user["password"], base64.b64decode(read["content"] or "")) == read["signature"]
    )
    return apache if right else "check signature failed."


def _body(line: Json) -> bytes:
    return base64.b64decode(line["body"] or "")


def _demand_equal(what: str, one: Any, other: Any) -> None:
    if one != other:
        raise Unexplained(f"{what} differs: {one!r} and {other!r}")
