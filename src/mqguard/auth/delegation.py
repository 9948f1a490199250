"""The limits of administrators that are not Super: `Cluster` Update alone grants no further rights.

Rule 1: only Super users may change Super users and their policies, or make a user Super.
Rule 2: an administrator may only grant rights that it holds itself.
Rule 3: setting the secret of a user, or enabling it, requires all rights of that user, because the administrator could
then act as that user. Setting the secret that the user already has is not an exception.
Rule 4: removing rights from users that are not Super, and disabling them, is allowed.
Rule 5: deleting a user requires all rights of that user, because another user of its name could be created.

Held rights are compared exactly, over all possible requests (`excess`).
"""

from collections.abc import Iterable

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.escalation import find_escalation
from mqguard.auth.policy import Acl
from mqguard.auth.rights import Rights
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import User

ONLY_SUPER_CREATES = "The super user can only be create by super user"
"""Apache's sentence (`AdminBrokerProcessor`)."""
ONLY_SUPER_UPDATES = "The super user can only be update by super user"
"""Apache's sentence (`AdminBrokerProcessor`)."""


def check_delegation(by: str, before: Snapshot, after: Snapshot, names: Iterable[str]) -> None:
    """Reject a change that its author may not make.

    Args:
        by: Name of the user that makes the change.
        before: Users and policies before the change.
        after: Users and policies after the change.
        names: Users and subjects that the change touches.

    Raises:
        MetadataRejected: The author is unknown or disabled, or a rule above forbids the change.
    """
    author = before.rights(by)
    if author is None:
        raise MetadataRejected(f"User:{by} is not found")
    if not author.user.is_enabled:
        raise MetadataRejected(f"User:{by} is disabled.")
    if author.user.is_super:
        return
    for name in dict.fromkeys(names):
        _check_one(author, name, before, after)


def _check_one(author: Rights, name: str, before: Snapshot, after: Snapshot) -> None:
    old, new = before.user(name), after.user(name)
    if old is not None and old.is_super:
        raise MetadataRejected(ONLY_SUPER_UPDATES)
    if new is not None and new.is_super:
        raise MetadataRejected(ONLY_SUPER_CREATES if old is None else ONLY_SUPER_UPDATES)
    if new is None:
        if old is not None:
            _check_deletion(author, name, before.acl(name))
        return
    # Rights that the user had before are not a grant, unless the change lets a client act as the user that could not.
    had = before.acl(name) if _stays_itself(old, new, author.user.name) else None
    _check_grant(author, name, after.acl(name), had)


def _stays_itself(old: User | None, new: User, author: str) -> bool:
    if old is None or (new.is_enabled and not old.is_enabled):
        return False
    # This checks whether a secret was sent, not whether it is a new one: otherwise the answer would confirm a guess.
    return new.name == author or new.secrets is old.secrets


def _check_deletion(author: Rights, name: str, had: Acl | None) -> None:
    excess = find_escalation(had, author.acl)
    if excess is not None:
        raise MetadataRejected(
            f"User:{author.user.name} cannot delete User:{name}, who has {excess.action.value} on "
            f"`{excess.resource.key}`: it does not hold that right itself; it may disable the user"
        )


def _check_grant(author: Rights, name: str, new: Acl | None, had: Acl | None) -> None:
    excess = find_escalation(new, had, author.acl)
    if excess is not None:
        where = f" from `{excess.address}`" if excess.address is not None else ""
        raise MetadataRejected(
            f"User:{author.user.name} cannot grant User:{name} {excess.action.value} on `{excess.resource.key}`"
            f"{where}: it does not hold that right itself"
        )
