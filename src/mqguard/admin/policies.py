"""Policies of a broker's users (request codes 3006 to 3010)."""

from collections.abc import Sequence

from mqguard.admin.client import read
from mqguard.admin.session import Session
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import Subject
from mqguard.remoting.bodies.access import AclInfo, EntryInfo, PolicyInfo
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import AclFilterHeader, DeleteAclHeader, SubjectHeader


def create(
    session: Session, subject: Subject, entries: Sequence[Entry], policy_type: PolicyType = PolicyType.CUSTOM
) -> None:
    """Add entries to a policy of a subject, and replace existing entries for the same resources.

    Raises:
        PeerRefused: The user does not exist, or the caller has no permission.
    """
    _put(session, RequestCode.AUTH_CREATE_ACL, subject, entries, policy_type)


def update(
    session: Session, subject: Subject, entries: Sequence[Entry], policy_type: PolicyType = PolicyType.CUSTOM
) -> None:
    """Do the same as `create`, with the request code of an update.

    Raises:
        PeerRefused: The user does not exist, or the caller has no permission.
    """
    _put(session, RequestCode.AUTH_UPDATE_ACL, subject, entries, policy_type)


def delete(
    session: Session,
    subject: Subject,
    resource: Resource | None = None,
    policy_type: PolicyType | None = None,
) -> None:
    """Delete the entry for a resource, or all policies of the subject if no resource is given.

    Raises:
        PeerRefused: The entry does not exist, or the caller has no permission.
    """
    header = DeleteAclHeader(
        subject=subject.key,
        policy_type=None if policy_type is None else policy_type.value,
        resource=None if resource is None else resource.key,
    )
    session.call(RequestCode.AUTH_DELETE_ACL, header)


def get(session: Session, subject: Subject) -> Acl | None:
    """Return the policies of a subject, None if it has no policies.

    Raises:
        PeerRefused: The user does not exist, or the caller has no permission.
        PolicyInvalid: The response contains policies that are not valid.
    """
    answer = session.call(RequestCode.AUTH_GET_ACL, SubjectHeader(subject=subject.key))
    return acl_of(read(answer, AclInfo)) if answer.body else None


def find(session: Session, subject: str = "", resource: str = "") -> list[Acl]:
    """Return the policies whose subject and whose resources contain a text.

    Raises:
        PeerRefused: The caller has no permission.
        PolicyInvalid: The response contains policies that are not valid.
    """
    header = AclFilterHeader(subject_filter=subject, resource_filter=resource)
    answer = session.call(RequestCode.AUTH_LIST_ACL, header)
    return [acl_of(info) for info in read(answer, list[AclInfo])] if answer.body else []


def acl_info(acl: Acl) -> AclInfo:
    """Return the policies of a subject as the body of a request has them."""
    policies = [
        PolicyInfo(policy_type=policy.type.value, entries=list(map(_entry_info, policy.entries)))
        for policy in acl.policies
    ]
    return AclInfo(subject=acl.subject.key, policies=policies)


def _put(
    session: Session, code: RequestCode, subject: Subject, entries: Sequence[Entry], policy_type: PolicyType
) -> None:
    body = acl_info(Acl(subject, (Policy(policy_type, tuple(entries)),)))
    session.call(code, SubjectHeader(subject=subject.key), encode(body))


def _entry_info(entry: Entry) -> EntryInfo:
    return EntryInfo(
        resource=entry.resource.key,
        actions=[action.value for action in entry.actions],
        source_ips=[source.text for source in entry.sources],
        decision=entry.decision.value,
    )


def acl_of(info: AclInfo) -> Acl:
    """Return the policies in the body of an answer.

    Raises:
        PolicyInvalid: They are not valid.
    """
    policies = tuple(
        Policy(PolicyType.parse(policy.policy_type or "Custom"), tuple(map(_entry, policy.entries or ())))
        for policy in info.policies or ()
    )
    return Acl(Subject.parse(info.subject or ""), policies)


def _entry(info: EntryInfo) -> Entry:
    return Entry(
        Resource.parse(info.resource or ""),
        tuple(map(Action.parse, info.actions or ())),
        tuple(map(Source.parse, info.source_ips or ())),
        Decision.parse(info.decision or ""),
    )
