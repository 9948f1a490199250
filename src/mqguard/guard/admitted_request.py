"""An admitted request: its sender, and the decisions about objects that it reaches beyond those it names."""

from typing import Protocol

import msgspec

from mqguard.auth.policy import Action
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import User
from mqguard.guard.errors import RequestSuspended
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions
from mqguard.guard.request_context import Operation
from mqguard.model.peer import Peer

BY_SIGNATURE = "signature"
BY_CLAIM = "claim"
BY_PLUGIN = "plugin"
"""What proved who sent a request."""

MAX_CLAIM_LENGTH = 256
"""How much of a claimed user name is remembered: whoever proves nothing shall fill neither memory nor disk."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who sent a request, and how we know.

    Attributes:
        user: The user's name.
        method: What proved it: `BY_SIGNATURE`, `BY_PLUGIN`, or `BY_CLAIM` where the operator trusts the name that
            clients send.
        is_super: Whether policies are not evaluated. Never for a mere claim.
    """

    user: str
    method: str
    is_super: bool = False


class ObjectAuthorizer(Protocol):
    """Decides about resources that turn out to be touched after a request was let in."""

    def allows(self, access: "AdmittedRequest", need: RequiredPermission) -> bool:
        """Whether the sender may touch it, by the users and policies of this moment."""

    def require(self, access: "AdmittedRequest", need: RequiredPermission) -> None:
        """Let pass or raise, and record which.

        Raises:
            Refused: The sender may not touch it.
        """

    def renew(self) -> None:
        """Time has passed: what was found out for this request before counts no more."""

    def sender(self, access: "AdmittedRequest") -> Rights | None:
        """Return the sender's rights as of now, None if it has none; the same object as long as nothing changed."""

    def admits(self, access: "AdmittedRequest") -> bool:
        """Return whether the sender would be let in now, whatever it asks for."""

    def require_owner(self, access: "AdmittedRequest", owner: str | None, what: str) -> None:
        """Let pass who owns the thing.

        Raises:
            Refused: It belongs to another user.
        """


def _user(rights: Rights | None) -> User | None:
    return None if rights is None else rights.user


class AdmittedRequest(msgspec.Struct):
    """A request that was let in. Handlers ask it about everything that the request reaches beyond what it names.

    Attributes:
        identity: Who sent it; None is nobody in particular (authentication is off, or this code is excused from it).
        peer: Where from.
        operation: The kind of request.
        permissions: The permissions that were checked, empty if none had to be.
        pending: Whether the handler has yet to ask about what is touched. An answer of success must not leave before.
        judge: Who decides.
        held: Rights of the sender when the request began to wait; None if the sender has none.
    """

    identity: Identity | None
    peer: Peer
    operation: Operation
    permissions: RequiredPermissions
    pending: bool
    judge: ObjectAuthorizer
    held: Rights | None = None

    @property
    def user(self) -> str:
        """The sender's name, empty for nobody in particular."""
        return self.identity.user if self.identity is not None else ""

    @property
    def creator(self) -> str | None:
        """The user that what this request creates counts for; None for a Super user and for nobody in particular."""
        identity = self.identity
        return None if identity is None or identity.is_super else identity.user

    def require(self, type: ResourceType, name: str, *actions: Action) -> None:  # noqa: A002 - the contract's word
        """Let pass if the sender may do one of the actions.

        Raises:
            Refused: It may not.
        """
        self.pending = False
        self.judge.require(self, RequiredPermission(type, name, frozenset(actions)))

    def allows(self, type: ResourceType, name: str, *actions: Action) -> bool:  # noqa: A002 - the contract's word
        """Whether the sender may do one of the actions; for filtering what is answered, not recorded."""
        self.pending = False
        return self.judge.allows(self, RequiredPermission(type, name, frozenset(actions)))

    def require_owner(self, owner: str | None, what: str) -> None:
        """Let pass if `what` (a client id, a lock) belongs to the sender or to nobody.

        Args:
            owner: The user that registered it, None if nobody did.
            what: What it is, for the refusal, such as "the client id `x`".

        Raises:
            Refused: It belongs to another user.
        """
        self.pending = False
        self.judge.require_owner(self, owner, what)

    @property
    def owner(self) -> str:
        """Return what the places that a request takes are counted under: its user, else its source address."""
        # A space cannot be part of an address, and keeps addresses apart from users of the same name.
        return self.identity.user if self.identity is not None else f"from {self.peer.ip}"

    def hold(self) -> None:
        """Remember the sender's rights, for a request that begins to wait."""
        self.held = self.judge.sender(self)

    def is_current(self) -> bool:
        """Return whether neither the sender's account nor its policies changed since the request began to wait."""
        return self.judge.sender(self) is self.held

    def still_allowed(self) -> bool:
        """Return whether a request that waited would be let in by the users and policies of this moment.

        A sender whose account changed in any way is not allowed, even if the new account could send the same request:
        the account may be a new one of the same name, or may have been Super before. If the answer needs a plugin
        first, it is no. The client asks again in all these cases, and the guard decides about that request in full.
        """
        judge = self.judge
        judge.renew()
        try:
            return (
                _user(judge.sender(self)) is _user(self.held)
                and judge.admits(self)
                and all(judge.allows(self, need) for need in self.permissions)
            )
        except RequestSuspended:
            return False
