"""Users and policies (3001 to 3010), as Apache's `mqadmin` asks for them, and the details of denials."""

# Rule 1: the server acts for the user who authenticated. An anonymous request has rights only if authentication is off.
# Rule 2: `auth.delegation` decides what an administrator may do beyond the `Cluster` permission.
# Rule 3: secrets leave in the form that the operator chose. A mask is never stored as a secret.
# Rule 4: every change is audited, refused ones too. The record of a successful change is part of its write.
# Rule 5: a user who may read policies may read denials. Unless it is a Super user, it gets only entries that are in
# force, which it may also read with 3009.
# Rule 6: only recent denials are found here; the audit log keeps them longer.

from collections.abc import Callable, Sequence
from typing import Protocol

from mqguard.auth.acl_parser import read_acl, read_policy_type, read_resource, read_subject
from mqguard.auth.errors import MetadataRejected
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import Change, ChangeRecord
from mqguard.auth.seal import SealingKey
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.dispatch.access_bodies import (
    CHANGES_FIELD,
    SecretExposure,
    SecretTransfer,
    acl_details,
    acl_info,
    changes_details,
    check_new_name,
    check_new_sources,
    policy_texts,
    read_changes,
    user_info,
    user_secrets_info,
)
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.errors import MqguardError
from mqguard.guard.audit import DONE as DONE_OUTCOME
from mqguard.guard.audit import AdminChange, bounded, new_change_id
from mqguard.guard.denial import Denial, DenialLog
from mqguard.model.process import Clock, gc_disabled
from mqguard.model.text import is_blank
from mqguard.remoting.bodies.access import AclInfo, ChangesInfo, UserInfo
from mqguard.remoting.bodies.codec import decode, encode
from mqguard.remoting.codes import OwnCode, RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.access import (
    AclFilterHeader,
    DecisionHeader,
    DeleteAclHeader,
    RotationHeader,
    SubjectHeader,
    UserFilterHeader,
    UserHeader,
    UserSecretsHeader,
)
from mqguard.remoting.headers.codec import read

CHANGE_CODES = frozenset(
    {
        RequestCode.AUTH_CREATE_USER,
        RequestCode.AUTH_UPDATE_USER,
        RequestCode.AUTH_DELETE_USER,
        RequestCode.AUTH_CREATE_ACL,
        RequestCode.AUTH_UPDATE_ACL,
        RequestCode.AUTH_DELETE_ACL,
    }
)
"""Request codes that change users or policies."""

DONE = "not set any response code"
"""The remark of every success: a default that Apache's handlers do not replace."""

MAX_KEEP_OLD_SECRET_MS = 366 * 24 * 3600 * 1000
"""Maximum time for which a replaced secret stays valid. A rotation must end."""

MAX_HEADER_ONLY_NAME_CHARS = 20
"""Maximum characters of a new user's name that only the header contains; the fields of a signed message are longer."""


class ChangeAudit(Protocol):
    """Receiver of the audit records of changes, such as `guard.audit.AuditTrail`."""

    def put_change(self, change: AdminChange) -> None:
        """Audit a change, or the refusal of one."""
        ...  # pragma: no cover


class AccessProcessor:
    """Handlers that change and return users and policies.

    Args:
        manager: Users and policies.
        audit: Audit trail for changes.
        sealing_key: Key that seals and opens secrets; None if this server has none.
        secret_exposure: Form in which administrators get secrets.
        anonymous_administers: True if anonymous requests may change users and policies.
        clock: Clock for the times of records.
    """

    def __init__(
        self,
        manager: MetadataManager,
        audit: ChangeAudit,
        sealing_key: SealingKey | None,
        secret_exposure: SecretExposure,
        clock: Clock,
        *,
        anonymous_administers: bool,
    ) -> None:
        self._manager = manager
        self._audit = audit
        self._secret_transfer = SecretTransfer(secret_exposure, sealing_key)
        self._anonymous_administers = anonymous_administers
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.AUTH_CREATE_USER: self.create_user,
            RequestCode.AUTH_UPDATE_USER: self.update_user,
            RequestCode.AUTH_DELETE_USER: self.delete_user,
            RequestCode.AUTH_GET_USER: self.get_user,
            RequestCode.AUTH_LIST_USER: self.list_users,
            RequestCode.AUTH_CREATE_ACL: self.create_acl,
            RequestCode.AUTH_UPDATE_ACL: self.update_acl,
            RequestCode.AUTH_DELETE_ACL: self.delete_acl,
            RequestCode.AUTH_GET_ACL: self.get_acl,
            RequestCode.AUTH_LIST_ACL: self.list_acls,
        }

    # Users

    def create_user(self, request: Request) -> Reply:
        """Create a user (3001)."""
        name = _username(request)
        check_new_name(name)
        info = _new_user(request, name)

        def change(by: str | None) -> None:
            self._manager.create_user(name, self._secret(request, name, info), _type(info), _status(info), by=by)

        self._change(request, "create-user", f"User:{name}", _user_details(info), change)
        return Reply(remark=DONE)

    def update_user(self, request: Request) -> Reply:
        """Change the given fields of a user (3002). With `keepOldSecretMs`, the old secret stays valid for a while."""
        name = _username(request)
        info = decode(request.command.body, UserInfo)
        keep_ms = _keep_ms(request, info)
        until = self._clock.now_ms() + keep_ms if keep_ms else None

        def change(by: str | None) -> None:
            secret = self._secret(request, name, info)
            self._manager.update_user(name, secret, _type(info), _status(info), keep_old_until=until, by=by)

        details = _user_details(info) if keep_ms is None else {**_user_details(info), "keepOldMs": str(keep_ms)}
        self._change(request, "update-user", f"User:{name}", details, change)
        return Reply(remark=DONE)

    def delete_user(self, request: Request) -> Reply:
        """Delete a user and its policies (3003)."""
        name = read(request.command.ext, UserHeader).username or ""
        self._change(request, "delete-user", f"User:{name}", {}, lambda by: self._manager.delete_user(name, by=by))
        return Reply(remark=DONE)

    def get_user(self, request: Request) -> Reply:
        """Return a user (3004); without such a user, the body is empty."""
        user = self._manager.get_user(_username(request))
        return Reply(body=b"" if user is None else encode(self._shown(request, [user])[0]), remark=DONE)

    def list_users(self, request: Request) -> Reply:
        """Return the users whose name contains a text (3005); without such users, the body is empty."""
        found = self._manager.list_users(read(request.command.ext, UserFilterHeader).filter)
        return Reply(body=encode(self._shown(request, found)) if found else b"", remark=DONE)

    # Policies

    def create_acl(self, request: Request) -> Reply:
        """Merge policies into those of a subject (3006)."""
        return self._put_acl(request, "create-acl")

    def update_acl(self, request: Request) -> Reply:
        """Do the same as `create_acl` (3007), like Apache. With `CHANGES_FIELD`, make several changes as one."""
        if CHANGES_FIELD in request.command.ext:
            if read(request.command.ext, SubjectHeader).subject is not None:
                raise RequestRefused(
                    ResponseCode.INVALID_PARAMETER,
                    f"`subject` cannot be combined with `{CHANGES_FIELD}`: leave one of the two fields out",
                )
            return self._change_together(request)
        return self._put_acl(request, "update-acl")

    def delete_acl(self, request: Request) -> Reply:
        """Delete the entries of one resource, or all policies of a subject (3008).

        All policies are deleted only if the request has no resource field. A blank or invalid resource is an error.
        """
        header = read(request.command.ext, DeleteAclHeader)
        subject = read_subject(header.subject)
        kind = read_policy_type(header.policy_type) if header.policy_type else None
        resource = None if header.resource is None else read_resource(header.resource)
        details = {} if resource is None else {"resource": resource.key}
        self._change(
            request,
            "delete-acl",
            subject.key,
            details,
            lambda by: self._manager.delete_acl(subject, kind, resource, by=by),
        )
        return Reply(remark=DONE)

    def get_acl(self, request: Request) -> Reply:
        """Return the policies of a subject (3009); without policies, the body is empty."""
        acl = self._manager.get_acl(read_subject(read(request.command.ext, SubjectHeader).subject))
        return Reply(body=b"" if acl is None else encode(acl_info(acl)), remark=DONE)

    def list_acls(self, request: Request) -> Reply:
        """Return the policies whose subject and resources contain texts (3010); without any, the body is empty."""
        header = read(request.command.ext, AclFilterHeader)
        with gc_disabled():
            found = self._manager.list_acls(header.subject_filter, header.resource_filter)
            return Reply(body=encode([acl_info(acl) for acl in found]) if found else b"", remark=DONE)

    def _put_acl(self, request: Request, operation: str) -> Reply:
        header = read(request.command.ext, SubjectHeader)
        if not request.command.body:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, "The body of acl is null")
        info = decode(request.command.body, AclInfo)
        acl = read_acl(_subject(info.subject, header.subject), policy_texts(info))
        check_new_sources(acl, self._manager.snapshot)
        self._change(
            request, operation, acl.subject.key, acl_details(acl), lambda by: self._manager.create_acl(acl, by=by)
        )
        return Reply(remark=DONE)

    def _change_together(self, request: Request) -> Reply:
        with gc_disabled():
            info = decode(request.command.body, ChangesInfo)
            details: dict[str, str] = {}

            def change(by: str | None) -> None:
                def decide(before: Snapshot) -> Sequence[Change]:
                    sender = self._sender(request)
                    changes = read_changes(
                        info, before, lambda name, text: self._secret_transfer.open(name, text, sender)
                    )
                    details.clear()
                    details.update(changes_details(changes, before))
                    return changes

                meant = MeantUsers(info.incarnations or {}, info.confirmed or ())
                self._manager.apply(decide, by=by, meant=meant)

            self._change(request, "apply-changes", "several", details, change)
        return Reply(remark=DONE)

    # Senders, secrets and audit records

    def _change(
        self,
        request: Request,
        operation: str,
        subject: str,
        details: dict[str, str],
        change: Callable[[str | None], object],
    ) -> None:
        """Make a change in the name of the sender, and audit it.

        The audit record is stored together with the change, so it is not lost if this process ends.
        """
        record: AdminChange | None = None

        def make(outcome: str = "done") -> AdminChange:
            now, identity = self._clock.now_ms(), request.access.identity
            return bounded(
                AdminChange(
                    when_ms=now,
                    user=request.access.user,
                    method="" if identity is None else identity.method,
                    source=request.link.peer.ip,
                    code=request.command.code,
                    operation=operation,
                    subject=subject,
                    details=details,
                    outcome=outcome,
                    id=new_change_id(now) if outcome == DONE_OUTCOME else "",
                )
            )

        def stored(_changes: Sequence[Change]) -> ChangeRecord:
            nonlocal record
            record = make()
            return ChangeRecord(record.id, record.encode())

        outcome = DONE_OUTCOME
        try:
            with self._manager.recorded(stored):
                change(self._author(request))
        except MqguardError as exc:
            outcome = str(exc) or "failed"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._audit.put_change(record if record is not None and outcome == DONE_OUTCOME else make(outcome))

    def _author(self, request: Request) -> str | None:
        """Return the user in whose name a change is made; None if it needs no permissions."""
        if request.access.identity is not None:
            if self._sender(request) is None:
                raise RequestRefused(
                    ResponseCode.NO_PERMISSION,
                    f"User:{request.access.user} is not authenticated and cannot change policies: sign the request",
                )
            return request.access.user
        if self._anonymous_administers:
            return None
        raise RequestRefused(
            ResponseCode.NO_PERMISSION, "anonymous requests cannot change users and policies: sign the request"
        )

    def _sender(self, request: Request) -> User | None:
        """Return the sender, None if the request is anonymous or only claims to come from a Super user."""
        identity = request.access.identity
        if identity is None:
            return None
        user = self._manager.snapshot.user(identity.user)
        return None if user is None or (user.is_super and not identity.is_super) else user

    def _secret(self, request: Request, name: str, info: UserInfo) -> str | None:
        return self._secret_transfer.open(name, info.password, self._sender(request))

    def _shown(self, request: Request, users: list[User]) -> Sequence[UserInfo]:
        sender, now = self._sender(request), self._clock.now_ms()
        if read(request.command.ext, UserSecretsHeader).mqguard_secrets is None:
            return [user_info(user, self._secret_transfer.show(user, sender)) for user in users]
        return [user_secrets_info(user, self._secret_transfer.show(user, sender), now) for user in users]


def _username(request: Request) -> str:
    name = read(request.command.ext, UserHeader).username
    if not name:
        raise RequestRefused(ResponseCode.INVALID_PARAMETER, "The username is blank")
    return name


def _new_user(request: Request, name: str) -> UserInfo:
    """Return the body of 3001, which must contain the same name as the header if the name is long.

    Otherwise the name could be a part of another request's signed text.
    """
    info = decode(request.command.body, UserInfo)
    if info.username != name and len(name) > MAX_HEADER_ONLY_NAME_CHARS:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, "`username` differs between header and body: send the same name in both"
        )
    return info


def _keep_ms(request: Request, info: UserInfo) -> int | None:
    keep = read(request.command.ext, RotationHeader).keep_old_secret_ms
    if keep is None:
        return None
    if not 0 <= keep <= MAX_KEEP_OLD_SECRET_MS:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, f"`keepOldSecretMs` is {keep}: use 0 to {MAX_KEEP_OLD_SECRET_MS} (366 days)"
        )
    if info.password is None or is_blank(info.password):
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, "`keepOldSecretMs` without a new password: send both, or neither"
        )
    return keep


def _type(info: UserInfo) -> UserType | None:
    return UserType.parse(info.user_type) if info.user_type else None


def _status(info: UserInfo) -> UserStatus | None:
    return UserStatus.parse(info.user_status) if info.user_status else None


def _subject(in_body: str | None, in_header: str | None) -> Subject:
    """Return the subject of the body, or of the header if the body has no valid one, as Apache does.

    The subject of the header must always be valid. Otherwise it could be a part of another request's signed text.
    """
    in_header = None if in_header is None else read_subject(in_header).key
    try:
        return read_subject(in_body)
    except MetadataRejected:
        return read_subject(in_header)


def _user_details(info: UserInfo) -> dict[str, str]:
    given = {"type": info.user_type, "status": info.user_status, "password": "given" if info.password else None}
    return {name: value for name, value in given.items() if value is not None}


UNKNOWN = "no recent denial has this decision id here: search the audit log for older ones"


class DenialProcessor:
    """Handler that returns the details of a denial; the request code is mqguard's own.

    Args:
        denials: Recent denials.
        manager: Current users and policies.
    """

    def __init__(self, denials: DenialLog, manager: MetadataManager) -> None:
        self._denials = denials
        self._manager = manager

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {OwnCode.GET_DECISION: self.get_decision}

    def get_decision(self, request: Request) -> Reply:
        """Return the details of a denial by its decision id, as `Denial.facts`."""
        wanted = read(request.command.ext, DecisionHeader).decision_id
        if not wanted:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                "the field `decisionId` is missing or empty: send the id from the remark of the denial",
            )
        found = self._denials.find(wanted)
        if found is None:
            raise RequestRefused(ResponseCode.QUERY_NOT_FOUND, UNKNOWN)
        identity = request.access.identity
        is_super = identity is not None and identity.is_super
        return Reply(body=encode(found.facts(with_entries=is_super or self._is_in_force(found))))

    def _is_in_force(self, denial: Denial) -> bool:
        """True if the entries that led to the denial are still in force."""
        if denial.forgotten:
            return False
        rights = denial.event.rights
        return rights is None or self._manager.snapshot.rights(denial.event.user) is rights
