"""Suggested commands, complete enough to run without a change."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from mqguard.remoting.codes import RequestCode

_ENTRY = re.compile(r"(Allow|Deny) (\S+) on (.+) from (\S+)", re.DOTALL)
_STEPS = {
    "create-user": ("user", "create"),
    "enable-user": ("user", "update", "--status", "enable"),
    "disable-user": ("user", "update", "--status", "disable"),
    "make-normal": ("user", "update", "--type", "Normal"),
}

SIGNING_SLIPS = (
    "the signed text is every header field but `Signature`, sorted by name (upper case first), and then the body",
    "only the values of the fields are signed, one after the other without separators",
    "`AccessKey` is one of these fields, and numbers and `true` are signed as the texts that are sent",
    "a field that is added or changed after signing, such as one for tracing or a namespace, makes the signature wrong",
    "the signature is the Base64 text of HMAC-SHA1 with the secret, all texts in UTF-8",
    "the secret has no blank and no line end at its end, and it is that of this cluster",
)
"""Usual mistakes of clients that sign by hand."""


def change_commands(user: str, change: Mapping[str, object], connection: Sequence[str] = ()) -> list[str]:
    """Return the commands that make the smallest change that reverses a decision.

    Args:
        user: Name of the user.
        change: The change, as `explanation_facts` has it.
        connection: Connection options, as words of a command line.
    """
    words: list[list[str]] = []
    step = _STEPS.get(str(change.get("kind")))
    if step is not None:
        words.append([*step[:2], user, *step[2:]])
    policy = [] if change.get("policy") == "Custom" else ["--policy", str(change.get("policy"))]
    words += [["acl", "remove", f"User:{user}", *entry, *policy] for entry in _entries(change.get("remove"), "any")]
    words += [["acl", "add", f"User:{user}", *entry, *policy] for entry in _entries(change.get("add"), "")]
    return [shlex.join(["mqguard", *line, *connection]) for line in words]


def route_commands(user: str, permissions: object, connection: Sequence[str] = ()) -> list[str]:
    """Return the commands that allow the tasks of which a denied route question is the first step."""
    commands = []
    for permission in permissions if isinstance(permissions, list) else ():
        kind, _, topic = str(permission.get("resource")).partition(":")
        if kind == "Topic" and topic and permission.get("verdict") == "Deny":
            tasks = (["--producer", topic], ["--consumer", topic, "--group", "GROUP"])
            commands += [shlex.join(["mqguard", "acl", "add", f"User:{user}", *task, *connection]) for task in tasks]
    return commands


def is_route_question(code: object) -> bool:
    """True if the request asks for the route of a topic, which clients do before they send or receive."""
    return code == RequestCode.GET_ROUTEINFO_BY_TOPIC


def _entries(texts: object, no_source: str) -> Iterator[list[str]]:
    """Yield the options of entries; `no_source` is the notation for entries without sources."""
    for text in texts if isinstance(texts, list) else ():
        found = _ENTRY.fullmatch(str(text))
        if found is None:
            continue
        decision, actions, resource, sources = found.groups()
        words = ["-r", resource, "-a", actions]
        sources = no_source if sources == "anywhere" else sources
        words += ["-i", sources] if sources else []
        yield [*words, "-d", "Deny"] if decision == "Deny" else words
