"""An admitted request: its sender, and the decisions about objects that it reaches beyond those it names."""

from typing import Protocol

import msgspec

from mqguard.auth.policy import Action
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import User
from mqguard.guard.errors import Refused, RequestSuspended
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions
from mqguard.guard.request_context import Operation
from mqguard.model.peer import Peer

BY_SIGNATURE = "signature"
BY_CLAIM = "claim"
BY_PLUGIN = "plugin"
"""The ways in which the guard knows a user. A claim is not authenticated: the operator trusts it."""

MAX_CLAIM_LENGTH = 256
"""Maximum characters of a claimed user name that are kept: unauthenticated peers must fill neither memory nor disk."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The sender of a request.

    Attributes:
        user: The user's name.
        method: The method that authenticated the user: `BY_SIGNATURE`, `BY_PLUGIN`, or `BY_CLAIM` if the operator
            trusts the name that clients send.
        is_super: True if policies are not evaluated. Never true for a claim.
    """

    user: str
    method: str
    is_super: bool = False


class ObjectAuthorizer(Protocol):
    """Authorization of the objects that an admitted request reaches beyond those it names."""

    def allows(self, access: "AdmittedRequest", permission: RequiredPermission) -> bool:
        """Return True if the sender has the permission, by the users and policies of this moment."""

    def require(self, access: "AdmittedRequest", permission: RequiredPermission) -> None:
        """Check that the sender has the permission, and audit the decision.

        Raises:
            Refused: The sender does not have it.
        """

    def renew(self) -> None:
        """Drop earlier results for this request, because time has passed."""

    def sender(self, access: "AdmittedRequest") -> Rights | None:
        """Return the sender's rights as of now, None for none; the same object as long as nothing changed."""

    def admits(self, access: "AdmittedRequest") -> bool:
        """Return True if the sender would be admitted now, whatever the request is."""

    def require_owner(self, access: "AdmittedRequest", owner: str | None, what: str) -> None:
        """Check that the sender owns an object.

        Raises:
            Refused: The object belongs to another user.
        """


def _user(rights: Rights | None) -> User | None:
    return None if rights is None else rights.user


class DeniedPart(msgspec.Struct, frozen=True):
    """The part of an admitted request that is denied (`Operation.is_partial`). It is audited like a denied request.

    Attributes:
        permissions: The permissions that are not granted. The handler leaves out what needs one of them.
        denial: The denial; see `error`.
    """

    permissions: frozenset[RequiredPermission]
    denial: Refused

    def error(self) -> Refused:
        """Return the error that the handler raises when it has served the rest."""
        # A new one each time: the traceback of `denial` would refer to the request, and the request to `denial`. Such
        # cycles keep the bodies of requests in memory until the collector runs.
        return Refused(self.denial.reason, self.denial.message, self.denial.decision_id)


class AdmittedRequest(msgspec.Struct):
    """An admitted request. Its handler asks it about every object that the request reaches beyond those it names.

    Attributes:
        identity: The sender; None for an anonymous one (authentication is off, or the request is whitelisted).
        peer: The connection.
        operation: The kind of request.
        permissions: The permissions that were checked, empty if none had to be.
        pending: True until the handler has asked about the objects. A successful answer is not sent before.
        authorizer: The part of the guard that decides about the objects.
        held: The sender's rights when the request began to wait; None if the sender has none.
        denied: The part of the request that is denied, None if there is none.
    """

    identity: Identity | None
    peer: Peer
    operation: Operation
    permissions: RequiredPermissions
    pending: bool
    authorizer: ObjectAuthorizer
    held: Rights | None = None
    denied: DeniedPart | None = None

    @property
    def user(self) -> str:
        """The sender's name, empty for an anonymous one."""
        return self.identity.user if self.identity is not None else ""

    @property
    def creator(self) -> str | None:
        """The user whose quota has what this request creates; None for a Super user and for an anonymous sender."""
        identity = self.identity
        return None if identity is None or identity.is_super else identity.user

    def require(self, type: ResourceType, name: str, *actions: Action) -> None:  # noqa: A002 - the contract's word
        """Check that the sender may do one of the actions.

        Raises:
            Refused: The sender may not.
        """
        self.pending = False
        self.authorizer.require(self, RequiredPermission(type, name, frozenset(actions)))

    def allows(self, type: ResourceType, name: str, *actions: Action) -> bool:  # noqa: A002 - the contract's word
        """Return True if the sender may do one of the actions; to filter an answer, without an audit record."""
        self.pending = False
        return self.authorizer.allows(self, RequiredPermission(type, name, frozenset(actions)))

    def require_owner(self, owner: str | None, what: str) -> None:
        """Check that an object (a client id, a lock) belongs to the sender or to no user.

        Args:
            owner: The user that registered the object, None for none.
            what: The object for the message, such as "the client id `x`".

        Raises:
            Refused: The object belongs to another user.
        """
        self.pending = False
        self.authorizer.require_owner(self, owner, what)

    @property
    def owner(self) -> str:
        """The name under which the places of a request are counted: its user, else its source address."""
        # A space cannot be part of an address, and keeps addresses apart from users of the same name.
        return self.identity.user if self.identity is not None else f"from {self.peer.ip}"

    def hold(self) -> None:
        """Store the sender's rights, for a request that begins to wait."""
        self.held = self.authorizer.sender(self)

    def is_current(self) -> bool:
        """Return True if the sender's account and policies have not changed since the request began to wait."""
        return self.authorizer.sender(self) is self.held

    def still_allowed(self) -> bool:
        """Return True if a request that waited would be admitted by the users and policies of this moment.

        A sender whose account changed in any way is not allowed, even if the new account could send the same request.
        The account may be a new one of the same name, or may have been Super before. If a plugin must be called first,
        the answer is False. The client asks again in all these cases, and the guard decides about that request in full.
        """
        authorizer = self.authorizer
        authorizer.renew()
        try:
            return (
                _user(authorizer.sender(self)) is _user(self.held)
                and authorizer.admits(self)
                and all(authorizer.allows(self, permission) for permission in self.permissions)
            )
        except RequestSuspended:
            return False
