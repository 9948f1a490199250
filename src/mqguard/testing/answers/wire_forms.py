"""The wire's forms of users and policies as the vectors write them, turned into values and back."""

from typing import Any

from mqguard.auth.acl_parser import EntryText, PolicyText, read_acl, read_subject
from mqguard.auth.policy import Acl, Entry
from mqguard.auth.user import User

Json = dict[str, Any]


def error(kind: str, message: str, cause: str | None = None) -> Json:
    """An outcome that is an error."""
    return {"error": kind, "message": message} | ({"cause": cause} if cause else {})


def acl_of(info: Json) -> Acl:
    """The policies that an AclInfo means.

    Raises:
        MetadataRejected: Something in it is missing, unknown or malformed.
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
