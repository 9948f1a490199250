"""JSON bodies of users and policies, in the form of the wire.

The first part converts between these bodies and values. The second part answers the lines of the kind `parsing` that
hold such a body.
"""

import json
from collections.abc import Callable
from typing import Any

from mqguard.auth.acl_parser import EntryText, PolicyText, read_acl, read_subject
from mqguard.auth.errors import MetadataRejected, PolicyInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, PolicyType
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.store.metadata.memory import MemoryMetadataStore

Json = dict[str, Any]


def error(kind: str, message: str, cause: str | None = None) -> Json:
    """Return an outcome that is an error."""
    return {"error": kind, "message": message} | ({"cause": cause} if cause else {})


def acl_of(info: Json) -> Acl:
    """Return the policies that an AclInfo describes.

    Raises:
        MetadataRejected: A part is missing, unknown or malformed.
    """
    subject = read_subject(info.get("subject"))
    policies = info.get("policies")
    return read_acl(subject, None if policies is None else map(_policy, policies))


def _policy(info: Json) -> PolicyText:
    entries = info.get("entries")
    return PolicyText(info.get("policyType"), None if entries is None else map(_entry, entries))


def _entry(info: Json) -> EntryText:
    return EntryText(info.get("resource"), info.get("actions"), info.get("sourceIps"), info.get("decision"))


def acl_info(acl: Acl) -> Json:
    """Return an AclInfo with the members that the vectors have."""
    return {
        "subject": acl.subject.key,
        "policies": [
            {"policyType": policy.type.value, "entries": [_entry_info(entry) for entry in policy.entries]}
            for policy in acl.policies
        ],
    }


def _entry_info(entry: Entry) -> Json:
    return {
        "resource": entry.resource.key,
        "actions": [action.value for action in entry.actions],
        "sourceIps": [source.text for source in entry.sources] or None,
        "decision": entry.decision.value,
    }


def user_info(user: User) -> Json:
    """Return a UserInfo with the secret in clear, as the vectors have it."""
    return {
        "username": user.name,
        "password": user.secrets[0].secret.reveal() if user.secrets else None,
        "userType": user.type.value,
        "userStatus": user.status.value,
    }


_USER_MEMBERS = ("username", "password", "userType", "userStatus")
_ACL_MEMBERS = ("subject", "policies")
_POLICY_MEMBERS = ("policyType", "entries")
_ENTRY_MEMBERS = ("resource", "actions", "sourceIps", "decision")


class UnexpectedJson(Exception):
    """Body that is not the expected JSON object."""


def user_body(line: Json) -> object:
    """Return what the JSON text of a UserInfo leads to."""
    try:
        body = _object(_load(line["in"]), _USER_MEMBERS)
        for member in _USER_MEMBERS:
            _text(body.get(member))
    except UnexpectedJson as exc:
        return error("JSONException", str(exc))
    manager = MetadataManager(MemoryMetadataStore())
    return {
        "decoded": _present(body),
        "user": {
            "username": body.get("username"),
            "password": body.get("password"),
            "userType": _known(UserType.parse, body.get("userType")),
            "userStatus": _known(UserStatus.parse, body.get("userStatus")),
        },
        "create": _tried(lambda: create_user(manager, body), "AuthenticationException"),
        "stored": [user_info(user) for user in manager.list_users()],
    }


def create_user(manager: MetadataManager, info: Json) -> None:
    """Create the user that a UserInfo describes.

    Raises:
        PolicyInvalid: The type or status is unknown.
        MetadataRejected: As for `MetadataManager.create_user`.
    """
    manager.create_user(info.get("username") or "", info.get("password"), *type_and_status(info))


def type_and_status(info: Json) -> tuple[UserType | None, UserStatus | None]:
    """Return the type and status of a UserInfo; None for each that is absent."""
    kind, status = info.get("userType"), info.get("userStatus")
    return UserType.parse(kind) if kind else None, UserStatus.parse(status) if status else None


def acl_body(line: Json) -> object:
    """Return what the JSON text of an AclInfo leads to."""
    try:
        body = _acl_object(_load(line["in"]))
    except UnexpectedJson as exc:
        return error("JSONException", str(exc))
    decoded = _decoded(body)
    try:
        acl = _acl_view(body)
    except UnexpectedJson as exc:
        return {"decoded": decoded, "acl": error("PolicyInvalid", str(exc))}
    exists = bool((acl["subject"] or "")[5:].strip())
    return {"decoded": decoded, "acl": acl, "user_exists": exists} | _created(body, exists=exists)


def _created(body: Json, *, exists: bool) -> Json:
    manager = MetadataManager(MemoryMetadataStore())
    key = body.get("subject") or ""
    name = key.partition(":")[2]
    if exists:
        manager.create_user(name, "secret")
    out: Json = {"create": _tried(lambda: manager.create_acl(acl_of(body)), "AuthorizationException")}
    if exists:
        stored = manager.get_acl(Subject.parse(key))
        out["stored"] = None if stored is None else _present_deep(acl_info(stored))
    return out


def _tried(change: Callable[[], object], kind: str) -> object:
    try:
        change()
    except (PolicyInvalid, MetadataRejected) as exc:
        return error(kind, str(exc))
    return "ok"


def _acl_view(body: Json) -> Json:
    """Return the policies as Apache reads them: None in place of each unknown part."""
    policies = body.get("policies")
    if policies is None:
        raise UnexpectedJson("the body has no policies")
    return {
        "subject": _known_key(Subject.parse, body.get("subject")),
        "policies": [
            {
                "policyType": _known(PolicyType.parse, policy.get("policyType")),
                "entries": [_entry_view(entry) for entry in policy.get("entries") or ()],
            }
            for policy in policies
            if policy.get("entries")
        ],
    }


def _entry_view(entry: Json) -> Json:
    if entry.get("actions") is None:
        raise UnexpectedJson("an entry has no actions")
    actions = (_known(Action.parse, action) for action in entry["actions"])
    return {
        "resource": _resource_view(entry.get("resource")),
        "actions": [action for action in actions if action is not None],
        "sourceIps": entry.get("sourceIps") or None,
        "decision": _known(Decision.parse, entry.get("decision")),
    }


def _resource_view(key: str | None) -> Json | None:
    try:
        found = Resource.parse(key or "")
    except PolicyInvalid:
        return None
    kind = "Any" if found.type is ResourceType.ANY else found.type.value
    return {"type": kind, "name": found.name or None, "pattern": found.pattern.value, "key": found.key}


def _known(parse: Callable[[str], Any], text: str | None) -> str | None:
    try:
        value: str = parse(text or "").value
    except PolicyInvalid:
        return None
    return value


def _known_key(parse: Callable[[str], Any], text: str | None) -> str | None:
    try:
        key: str = parse(text or "").key
    except PolicyInvalid:
        return None
    return key


def _load(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise UnexpectedJson(f"not JSON: {exc}") from exc


def _acl_object(value: object) -> Json:
    body = _object(value, _ACL_MEMBERS)
    _text(body.get("subject"))
    for policy in _list(body.get("policies")):
        _text(_object(policy, _POLICY_MEMBERS).get("policyType"))
        for entry in _list(policy.get("entries")):
            _object(entry, _ENTRY_MEMBERS)
            for text in (entry.get("resource"), entry.get("decision"), *_list(entry.get("actions"))):
                _text(text)
            for text in _list(entry.get("sourceIps")):
                _text(text)
    return body


def _object(value: object, members: tuple[str, ...]) -> Json:
    if not isinstance(value, dict):
        raise UnexpectedJson("an object is expected")
    unknown = next((name for name in value if name not in members), None)
    if unknown is not None:
        raise UnexpectedJson(f"unknown member `{unknown}`: known are {', '.join(members)}")
    return value


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnexpectedJson("a list is expected")
    return value


def _text(value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise UnexpectedJson("a text is expected")


def _present(body: Json) -> Json:
    return {name: value for name, value in sorted(body.items()) if value is not None}


def _present_deep(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _present_deep(item) for name, item in sorted(value.items()) if item is not None}
    return [_present_deep(item) for item in value] if isinstance(value, list) else value


def _decoded(body: Json) -> Json:
    out: Json = _present_deep(body)
    return out
