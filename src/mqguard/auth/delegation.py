"""What an administrator who is not Super may change. `Cluster` Update alone makes nobody more than it is.

Rule 1: Super users, their policies, and becoming Super are for Super users.
Rule 2: nobody gives what it does not hold: each right that a change adds must be one the administrator has itself.
Rule 3: who sets the secret of a user, or enables it, can act as that user, so it must hold all of that user's rights.
Setting the very secret that the user has is no exception.
Rule 4: taking rights away from users that are not Super, and disabling them, is allowed.
Rule 5: who deletes a user can create another one of its name, so it must hold all of that user's rights.

What is held is compared exactly, over all requests there can be (`excess`).
"""

from collections.abc import Iterable

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.excess import find_excess
from mqguard.auth.policy import Acl
from mqguard.auth.rights import Rights
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import User

ONLY_SUPER_CREATES = "The super user can only be create by super user"
"""Apache's sentence (`AdminBrokerProcessor`)."""
ONLY_SUPER_UPDATES = "The super user can only be update by super user"
"""Apache's sentence (`AdminBrokerProcessor`)."""


def check_delegation(by: str, before: Snapshot, after: Snapshot, names: Iterable[str]) -> None:
    """Refuse a change that its author may not make.

    Args:
        by: Name of the user who makes the change.
        before: Users and policies as they are.
        after: As they would be.
        names: Users and subjects that the change touches.

    Raises:
        MetadataRejected: The author is unknown or disabled, or a rule above forbids it.
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
    # What the user could do before is no gift, unless the change lets the author, or anybody, act as the user anew.
    had = before.acl(name) if _stays_itself(old, new, author.user.name) else None
    _check_gift(author, name, after.acl(name), had)


def _stays_itself(old: User | None, new: User, author: str) -> bool:
    if old is None or (new.is_enabled and not old.is_enabled):
        return False
    # Whether a secret was sent, not whether it is another one: else the answer would tell who guessed it.
    return new.name == author or new.secrets is old.secrets


def _check_deletion(author: Rights, name: str, had: Acl | None) -> None:
    excess = find_excess(had, author.acl)
    if excess is not None:
        raise MetadataRejected(
            f"User:{author.user.name} can not delete User:{name}, who has {excess.action.value} on "
            f"`{excess.resource.key}`: it does not hold that right itself; it may disable the user"
        )


def _check_gift(author: Rights, name: str, new: Acl | None, had: Acl | None) -> None:
    excess = find_excess(new, had, author.acl)
    if excess is not None:
        where = f" from `{excess.address}`" if excess.address is not None else ""
        raise MetadataRejected(
            f"User:{author.user.name} can not let User:{name} have {excess.action.value} on `{excess.resource.key}`"
            f"{where}: it does not hold that right itself"
        )
