"""Users and policies (3001 to 3010), as Apache's `mqadmin` asks for them, and the details of denials."""

# Rule 1: the broker acts for the user who authenticated. An anonymous request has rights only if authentication is off.
# Rule 2: `auth.delegation` decides what an administrator may do beyond the `Cluster` permission.
# Rule 3: secrets leave in the form that the operator chose. A mask is never stored as a secret.
# Rule 4: every change is audited, refused ones too. The record of a successful change is part of its write.
# Rule 5: a user who may read policies may read denials. Unless it is a Super user, it gets only entries that are in
# force, which it may also read with 3009.
# Rule 6: only recent denials are found here; the audit log keeps them longer.

from collections.abc import Callable, Sequence

from mqguard.auth.acl_parser import read_acl, read_policy_type, read_resource, read_subject
from mqguard.auth.errors import MetadataRejected
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import Change, ChangeRecord
from mqguard.auth.sealing import SealingKey
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.broker.access_bodies import (
    FIELD,
    Exposure,
    acl_details,
    acl_info,
    changes_details,
    check_new_name,
    policy_texts,
    read_changes,
    user_info,
    user_secrets_info,
)
from mqguard.broker.settings import BrokerSettings
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.errors import MqguardError
from mqguard.guard.audit import DONE as DONE_OUTCOME
from mqguard.guard.audit import AdminChange, AuditTrail, bounded, new_change_id
from mqguard.guard.denial import Denial, DenialLog, facts_of
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

DONE = "not set any response code"
"""The remark of every success: Apache's handlers set the code and leave this default standing."""

LONGEST_KEPT_MS = 366 * 24 * 3600 * 1000
"""For how long a secret that was replaced may be kept at most: a rotation that never ends is none."""

MAX_BARE_NAME = 20
"""Characters of a new user's name that the header alone may give: the values of a message's fields are longer."""


class AccessAdministration:
    """Changes and shows users and policies.

    Args:
        manager: Users and policies.
        audit: Where changes go on record.
        sealing_key: Seals and opens secrets; None if this server has no key.
        settings: See `BrokerSettings`.
        clock: Tells the time of records.
    """

    def __init__(
        self,
        manager: MetadataManager,
        audit: AuditTrail,
        sealing_key: SealingKey | None,
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._manager = manager
        self._audit = audit
        self._exposure = Exposure(settings.secret_exposure, sealing_key)
        self._anonymous_administers = settings.anonymous_administers
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
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
        """Make a user (3001)."""
        name = _username(request)
        check_new_name(name)
        info = _new_user(request, name)

        def change(by: str | None) -> None:
            self._manager.create_user(name, self._secret(request, name, info), _type(info), _status(info), by=by)

        self._change(request, "create-user", f"User:{name}", _user_details(info), change)
        return Reply(remark=DONE)

    def update_user(self, request: Request) -> Reply:
        """Change what is given of a user (3002). With a field of our own, the secret that is replaced lives on."""
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
        """Remove a user and its policies (3003)."""
        name = read(request.command.ext, UserHeader).username or ""
        self._change(request, "delete-user", f"User:{name}", {}, lambda by: self._manager.delete_user(name, by=by))
        return Reply(remark=DONE)

    def get_user(self, request: Request) -> Reply:
        """One user; a body only if there is one (3004)."""
        user = self._manager.get_user(_username(request))
        return Reply(body=b"" if user is None else encode(self._shown(request, [user])[0]), remark=DONE)

    def list_users(self, request: Request) -> Reply:
        """The users whose name holds a text; a body only if there are any (3005)."""
        found = self._manager.list_users(read(request.command.ext, UserFilterHeader).filter)
        return Reply(body=encode(self._shown(request, found)) if found else b"", remark=DONE)

    # Policies

    def create_acl(self, request: Request) -> Reply:
        """Merge policies into those of a subject (3006)."""
        return self._put_acl(request, "create-acl")

    def update_acl(self, request: Request) -> Reply:
        """The same (3007): Apache makes no difference. With the field of `access_changes`: several changes as one."""
        if FIELD in request.command.ext:
            if read(request.command.ext, SubjectHeader).subject is not None:
                raise RequestRefused(ResponseCode.INVALID_PARAMETER, f"`subject` does not go together with `{FIELD}`")
            return self._change_together(request)
        return self._put_acl(request, "update-acl")

    def delete_acl(self, request: Request) -> Reply:
        """Remove the entries of one resource, or all policies of a subject (3008).

        All of them only where no resource is named at all: one that is blank or does not parse is an error.
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
        """The policies of a subject; a body only if there are any (3009)."""
        acl = self._manager.get_acl(read_subject(read(request.command.ext, SubjectHeader).subject))
        return Reply(body=b"" if acl is None else encode(acl_info(acl)), remark=DONE)

    def list_acls(self, request: Request) -> Reply:
        """The policies whose subject and resources hold texts; a body only if there are any (3010)."""
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
                    asker = self._asker(request)
                    changes = read_changes(info, before, lambda name, text: self._exposure.take(name, text, asker))
                    details.clear()
                    details.update(changes_details(changes, before))
                    return changes

                meant = MeantUsers(info.incarnations or {}, info.confirmed or ())
                self._manager.apply(decide, by=by, meant=meant)

            self._change(request, "apply-changes", "several", details, change)
        return Reply(remark=DONE)

    # Who asks, secrets, records

    def _change(
        self,
        request: Request,
        operation: str,
        subject: str,
        details: dict[str, str],
        change: Callable[[str | None], object],
    ) -> None:
        """Make a change in the name of the sender, and put it on record.

        The record is stored with the change, so that it is there whatever becomes of this process.
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
        """In whose name a change is made; None is whoever may do everything."""
        if request.access.identity is not None:
            if self._asker(request) is None:
                raise RequestRefused(
                    ResponseCode.NO_PERMISSION,
                    f"User:{request.access.user} has not proven who it is, so it changes no users and policies",
                )
            return request.access.user
        if self._anonymous_administers:
            return None
        raise RequestRefused(ResponseCode.NO_PERMISSION, "users and policies are changed by known users only: sign in")

    def _asker(self, request: Request) -> User | None:
        """The user who asks, None if that is nobody in particular, or a Super user by its word alone."""
        identity = request.access.identity
        if identity is None:
            return None
        user = self._manager.snapshot.user(identity.user)
        return None if user is None or (user.is_super and not identity.is_super) else user

    def _secret(self, request: Request, name: str, info: UserInfo) -> str | None:
        return self._exposure.take(name, info.password, self._asker(request))

    def _shown(self, request: Request, users: list[User]) -> Sequence[UserInfo]:
        asker, now = self._asker(request), self._clock.now_ms()
        if read(request.command.ext, UserSecretsHeader).mqguard_secrets is None:
            return [user_info(user, self._exposure.show(user, asker)) for user in users]
        return [user_secrets_info(user, self._exposure.show(user, asker), now) for user in users]


def _username(request: Request) -> str:
    name = read(request.command.ext, UserHeader).username
    if not name:
        raise RequestRefused(ResponseCode.INVALID_PARAMETER, "The username is blank")
    return name


def _new_user(request: Request, name: str) -> UserInfo:
    """The body of 3001, which names the same user as the header if the name is long.

    Otherwise the name could be what is left of another request's signed text. A user that exists has no such name.
    """
    info = decode(request.command.body, UserInfo)
    if info.username != name and len(name) > MAX_BARE_NAME:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, "`username` is not the same in the header and in the body: give it in both"
        )
    return info


def _keep_ms(request: Request, info: UserInfo) -> int | None:
    keep = read(request.command.ext, RotationHeader).keep_old_secret_ms
    if keep is None:
        return None
    if not 0 <= keep <= LONGEST_KEPT_MS:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, f"`keepOldSecretMs` is {keep}: use 0 to {LONGEST_KEPT_MS}, a year"
        )
    if info.password is None or is_blank(info.password):
        raise RequestRefused(ResponseCode.INVALID_PARAMETER, "`keepOldSecretMs` needs a new password in the body")
    return keep


def _type(info: UserInfo) -> UserType | None:
    return UserType.parse(info.user_type) if info.user_type else None


def _status(info: UserInfo) -> UserStatus | None:
    return UserStatus.parse(info.user_status) if info.user_status else None


def _subject(in_body: str | None, in_header: str | None) -> Subject:
    """The subject of the body, or of the header if the body has no valid one, as Apache reads it.

    The header's must be valid in any case: else it could hold what is left of another request's signed text.
    """
    in_header = None if in_header is None else read_subject(in_header).key
    try:
        return read_subject(in_body)
    except MetadataRejected:
        return read_subject(in_header)


def _user_details(info: UserInfo) -> dict[str, str]:
    said = {"type": info.user_type, "status": info.user_status, "password": "given" if info.password else None}
    return {name: value for name, value in said.items() if value is not None}


UNKNOWN = "no decision of this id is remembered here; older ones are in the audit log"


class Decisions:
    """Tells why requests were refused.

    Args:
        refusals: The last refusals.
        manager: Users and policies as they are.
    """

    def __init__(self, refusals: DenialLog, manager: MetadataManager) -> None:
        self._refusals = refusals
        self._manager = manager

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {OwnCode.GET_DECISION: self.get_decision}

    def get_decision(self, request: Request) -> Reply:
        """One refusal by its id; the body is `facts_of` it."""
        wanted = read(request.command.ext, DecisionHeader).decision_id
        if not wanted:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, "the field `decisionId` is missing or empty")
        found = self._refusals.find(wanted)
        if found is None:
            raise RequestRefused(ResponseCode.QUERY_NOT_FOUND, UNKNOWN)
        identity = request.access.identity
        is_super = identity is not None and identity.is_super
        return Reply(body=encode(facts_of(found, with_entries=is_super or self._is_in_force(found))))

    def _is_in_force(self, refusal: Denial) -> bool:
        """Whether the entries that the refusal was judged by are those of now: a change makes other rights."""
        if refusal.forgotten:
            return False
        return refusal.rights is None or self._manager.snapshot.rights(refusal.user) is refusal.rights
