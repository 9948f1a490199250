"""The wire's forms of users and policies as the vectors write them, turned into values and back."""

from typing import Any

from mqguard.auth.action import Action
from mqguard.auth.policy import Acl, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.subject import Subject
from mqguard.auth.user import User

Json = dict[str, Any]


def error(kind: str, message: str, cause: str | None = None) -> Json:
    """An outcome that is an error."""
    return {"error": kind, "message": message} | ({"cause": cause} if cause else {})


def acl_of(info: Json) -> Acl:
    """The policies that an AclInfo means.

    Raises:
        PolicyInvalid: Something in it is unknown or malformed.
    """
    subject = Subject.parse(info.get("subject") or "")
    entries: dict[PolicyType, tuple[Entry, ...]] = {}
    for policy in map(_policy, info.get("policies") or ()):
        # Several policies of one type say what one policy with all their entries says.
        entries[policy.type] = (*entries.get(policy.type, ()), *policy.entries)
    return Acl(subject, tuple(Policy(kind, all_of) for kind, all_of in entries.items()))


def _policy(info: Json) -> Policy:
    kind = info.get("policyType")
    entries = tuple(map(_entry, info.get("entries") or ()))
    return Policy(PolicyType.CUSTOM if kind is None else PolicyType.parse(kind), entries)


def _entry(info: Json) -> Entry:
    return Entry(
        Resource.parse(info.get("resource") or ""),
        tuple(Action.parse(action or "") for action in info.get("actions") or ()),
        tuple(Source.parse(source or "") for source in info.get("sourceIps") or ()),
        Decision.parse(info.get("decision") or ""),
    )


def acl_info(acl: Acl) -> Json:
    """An AclInfo with the same members as the vectors give them."""
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
    """A UserInfo with the secret in clear, as the vectors give it."""
    return {
        "username": user.name,
        "password": user.secrets[0].secret.reveal() if user.secrets else None,
        "userType": user.type.value,
        "userStatus": user.status.value,
    }
