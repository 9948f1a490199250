"""Lines of the kind `parsing`: one text for one parser."""

import ipaddress
from collections.abc import Callable
from typing import Any

from mqguard.auth.decide import decide
from mqguard.auth.errors import MetadataRejected, PolicyInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Address, Source, parse_address
from mqguard.auth.user import InitialUser, Subject, SubjectType, User, UserStatus, UserType, initial_user, inner_user
from mqguard.auth.verdict import AccessRequest
from mqguard.guard.settings import parse_whitelist
from mqguard.model import names
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.testing.vectors import bodies
from mqguard.testing.vectors.bodies import error, user_info

Json = dict[str, Any]

_SUBJECT = "subject"


def answer(line: Json) -> Json:
    """Return the line with our outcome."""
    parser = _PARSERS[line["what"]]
    return {**line, "out": parser(line)}


def _resource(line: Json) -> object:
    try:
        found = Resource.parse(line["in"] or "")
    except PolicyInvalid:
        return None
    return resource_view(found)


def resource_view(found: Resource) -> Json:
    """Return a resource in the form of the vectors."""
    kind = "Any" if found.type is ResourceType.ANY else found.type.value
    return {"type": kind, "name": found.name or None, "pattern": found.pattern.value, "key": found.key}


def _request_resource(kind: ResourceType, name: str | None) -> Json:
    return {"type": kind.value, "name": name, "pattern": "LITERAL", "key": f"{kind.value}:{_null(name)}"}


def _null(name: str | None) -> str:
    return "null" if name is None else name


def _resource_match(line: Json) -> object:
    kind = _type(line["type"]) or ResourceType.ANY
    try:
        return Resource.parse(line["in"] or "").covers(kind, line["name"] or "")
    except PolicyInvalid:
        return False


def _allows(entry: Entry, request: AccessRequest) -> bool:
    acl = Acl(Subject(_SUBJECT), (Policy(PolicyType.CUSTOM, (entry,)),))
    return decide(request, Rights(User(_SUBJECT, ()), acl)).allowed


def _group_name(line: Json) -> object:
    name = line["in"]
    text = name or ""
    retry = text.startswith(names.RETRY_PREFIX)
    dlq = text.startswith(names.DLQ_PREFIX)
    bare = text[len(names.RETRY_PREFIX) :] if retry else text[len(names.DLQ_PREFIX) :] if dlq else text
    # Apache removes the retry prefix only for a permission on a group. The guard also treats the topic as the group's.
    group = bare if retry else name
    return {
        "retry": retry,
        "dlq": dlq,
        "bare": bare,
        "group": _request_resource(ResourceType.GROUP, group),
        "topic": _request_resource(ResourceType.TOPIC, name),
    }


def _subject(line: Json) -> object:
    try:
        found = Subject.parse(line["in"] or "")
    except PolicyInvalid:
        return None
    return {"type": found.type.value, "username": found.name, "key": found.key}


def _word(parse: Callable[[str], Any], *unsaid: str) -> Callable[[Json], object]:
    """Return a parser of names; `unsaid` are names that Apache knows and policies cannot use."""

    def read(line: Json) -> object:
        text = line["in"] or ""
        known = next((word for word in unsaid if text.casefold() == word.lower()), None)
        if known is not None:
            return known
        try:
            return parse(text).value
        except PolicyInvalid:
            return None

    return read


def _type(text: str) -> ResourceType | None:
    found = (kind for kind in ResourceType if kind is not ResourceType.ANY and kind.value.lower() == text.lower())
    return next(found, None) if text.isascii() else None


def _parse_type(text: str) -> ResourceType:
    found = _type(text)
    if found is None:
        raise PolicyInvalid(f"unknown resource type `{text}`")
    return found


def _action_match(line: Json) -> object:
    want = {(word or "").lower() for word in line["want"] or ()}
    have = {(word or "").lower() for word in line["have"] or ()}
    if not have:
        return False
    if "any" in want:
        # No request needs the action `Any`; every entry would allow it.
        return True
    unknown = {"unknown"} & want & have
    entry_actions = tuple(Action.parse(word) for word in sorted(have - {"any", "unknown"}))
    asked = frozenset(Action.parse(word) for word in want - {"unknown"})
    if unknown or (want and "all" in have):
        return True
    if not entry_actions or not asked:
        return False
    entry = Entry(Resource.parse("*"), entry_actions, (), Decision.ALLOW)
    return _allows(entry, AccessRequest(ResourceType.TOPIC, "t", asked))


def _ip(line: Json) -> object:
    text = line["in"] or ""
    try:
        source = Source.parse(text)
    except PolicyInvalid:
        return dict.fromkeys(("accepted", "ip", "ipv4", "ipv6", "cidr4", "cidr6"), False)
    v4, v6 = source.network.version == 4, source.network.version == 6
    ranged = "/" in text
    # Apache's own test for an IPv6 address accepts a range too.
    single4 = v4 and not ranged
    cidr4, cidr6 = v4 and ranged, v6 and ranged
    return {"accepted": True, "ip": single4 or v6, "ipv4": single4, "ipv6": v6, "cidr4": cidr4, "cidr6": cidr6}


def _address(text: str) -> Address | None:
    """Return the address of the request as Java reads the text: a bare number is an IPv4 address."""
    shorthand = text.isascii() and text.isdigit() and int(text) < 1 << 32
    return parse_address(str(ipaddress.IPv4Address(int(text))) if shorthand else text)


def _ip_match(line: Json) -> object:
    address = _address(line["in"] or "")
    try:
        source = Source.parse(line["range"] or "")
    except PolicyInvalid as exc:
        return error("PolicyInvalid", str(exc))
    if address is None:
        return error("PolicyInvalid", f"`{line['in']}` is not a valid address") if "/" in line["range"] else False
    entry = Entry(Resource.parse("*"), (Action.ALL,), (source,), Decision.ALLOW)
    return _allows(entry, AccessRequest(ResourceType.TOPIC, "t", frozenset({Action.PUB}), address))


def _initial(read: Callable[[str], InitialUser], message: str) -> Callable[[Json], object]:
    def made(line: Json) -> object:
        manager = MetadataManager(MemoryMetadataStore())
        if line["in"]:
            try:
                manager.ensure_super(read(line["in"]))
            except MetadataRejected:
                return error("AuthenticationException", message)
        return [user_info(user) for user in manager.list_users()]

    return made


def _whitelist(line: Json) -> object:
    return sorted(parse_whitelist(line["in"] or ""))


_PARSERS: dict[str, Callable[[Json], object]] = {
    "resource": _resource,
    "resource-match": _resource_match,
    "group-name": _group_name,
    "subject": _subject,
    "action": _word(Action.parse, "Any", "Unknown"),
    "resource-type": _word(_parse_type, "Any", "Unknown"),
    "decision": _word(Decision.parse),
    "policy-type": _word(PolicyType.parse),
    "user-type": _word(UserType.parse),
    "user-status": _word(UserStatus.parse),
    "subject-type": _word(SubjectType.parse),
    "action-match": _action_match,
    "ip": _ip,
    "ip-match": _ip_match,
    "acl-body": bodies.acl_body,
    "user-body": bodies.user_body,
    "init-user": _initial(initial_user, "Init authentication user error."),
    "inner-credentials": _initial(inner_user, "Init inner client authentication credentials error"),
    "whitelist": _whitelist,
}
