"""Policies from the texts of administrators, rejected with Apache's messages.

This parser is stricter than Apache's: it never skips or reinterprets unknown input. If Apache's message does not name
the problem, the detail follows in brackets.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from mqguard.auth.errors import MetadataRejected, PolicyInvalid
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import Subject
from mqguard.model.text import is_blank

_T = TypeVar("_T")


class EntryText(NamedTuple):
    """One entry as received; None means absent."""

    resource: str | None
    actions: Iterable[str | None] | None
    sources: Iterable[str | None] | None
    decision: str | None


class PolicyText(NamedTuple):
    """One policy as received; without a type it is Custom."""

    type: str | None
    entries: Iterable[EntryText] | None


def read_subject(key: str | None) -> Subject:
    """Parse the subject of a request about policies.

    Raises:
        MetadataRejected: The subject is absent or invalid.
    """
    if key is None:
        raise MetadataRejected("The subject is null.")
    return _read("The subject is null.", Subject.parse, key)


def read_acl(subject: Subject, policies: Iterable[PolicyText] | None) -> Acl:
    """Parse policies. Several policies of one type become one policy with all their entries.

    Raises:
        MetadataRejected: A part is missing, empty, unknown or malformed.
    """
    entries: dict[PolicyType, list[Entry]] = {}
    for policy in policies or ():
        kind = PolicyType.CUSTOM if policy.type is None else read_policy_type(policy.type)
        read = list(map(_entry, policy.entries or ()))
        if not read:
            raise MetadataRejected("The policy entries is empty.")
        entries.setdefault(kind, []).extend(read)
    if not entries:
        raise MetadataRejected("The policies is empty.")
    return Acl(subject, tuple(Policy(kind, tuple(all_of)) for kind, all_of in entries.items()))


def read_policy_type(text: str) -> PolicyType:
    """Parse the policy type of a request.

    Raises:
        MetadataRejected: The type is unknown.
    """
    return _read("The policy type is illegal.", PolicyType.parse, text)


def read_resource(key: str | None) -> Resource:
    """Parse the resource of an entry or of a request to delete one.

    Raises:
        MetadataRejected: The resource is absent or invalid. A request to delete all names no resource at all; the
            caller must distinguish that from a blank one.
    """
    if key is None:
        raise MetadataRejected("The resource is null.")
    return _read("The resource is null.", Resource.parse, key)


def _entry(text: EntryText) -> Entry:
    resource = read_resource(text.resource)
    actions = tuple(map(_action, text.actions or ()))
    if not actions:
        raise MetadataRejected("The actions is empty.")
    sources = tuple(map(_source, text.sources or ()))
    decision = _read("The decision is null or illegal.", Decision.parse, text.decision or "")
    return Entry(resource, actions, sources, decision)


def _action(text: str | None) -> Action:
    if text is not None and text.lower() == "any":
        raise MetadataRejected("The actions can not be Any.")
    return _read("The action is illegal.", Action.parse, text or "")


def _source(text: str | None) -> Source:
    if text is None or is_blank(text):
        raise MetadataRejected("The source ip is empty.")
    return _read("The source ip is invalid.", Source.parse, text)


def _read(sentence: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except PolicyInvalid as exc:
        raise MetadataRejected(f"{sentence} [{exc}]" if text else sentence) from exc
