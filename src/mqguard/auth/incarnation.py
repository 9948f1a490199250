"""Identities behind user names: policies belong to a user, not to a later user of the same name."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutUser
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import Subject


@dataclasses.dataclass(frozen=True, slots=True)
class MeantUsers:
    """The users that a document means by their names.

    Attributes:
        incarnations: Their incarnations, by name, as far as they exist.
        confirmed: Names of the users that an operator has confirmed.
    """

    incarnations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    confirmed: Collection[str] = ()


def incarnate(
    changes: Sequence[Change],
    before: Snapshot,
    new_incarnation: Callable[[], str],
    *,
    by: str | None,
    meant: MeantUsers | None,
) -> Iterator[Change]:
    """Return the changes with the incarnations of their users, and with the changes that they require.

    A user keeps its incarnation while it is the same user. A created user gets a new one. So does a user whose secret
    is set by another user that is not Super, since that user could act as it.

    Policies belong to their user, and a new user starts with none, even if policies remain under its name.

    Args:
        changes: The changes.
        before: Users and policies before the changes.
        new_incarnation: Returns a new incarnation.
        by: The author; None may do everything.
        meant: The intended users, if the changes come from a document.

    Raises:
        MetadataRejected: A user has another incarnation than expected.
    """
    _check_meant(before, meant)
    author = None if by is None else before.user(by)
    is_trusted = by is None or (author is not None and author.is_super)
    confirms = is_trusted and meant is not None
    confirmed = meant.incarnations.keys() & meant.confirmed if meant is not None and is_trusted else set[str]()
    put = {change.user.name for change in changes if isinstance(change, PutUser)}
    gone: set[str] = set()
    for change in changes:
        match change:
            case PutUser(user):
                old = None if user.name in gone else before.user(user.name)
                if old is None:
                    yield PutUser(dataclasses.replace(user, incarnation=new_incarnation(), confirmed=confirms))
                    yield DeleteAcl(Subject(user.name))
                    continue
                sets_secret = user.secrets is not old.secrets
                is_same = is_trusted or by == user.name or not sets_secret
                incarnation = old.incarnation if is_same else new_incarnation()
                is_confirmed = user.name in confirmed or (confirms and sets_secret) or (is_same and old.confirmed)
                yield PutUser(dataclasses.replace(user, incarnation=incarnation, confirmed=is_confirmed))
            case DeleteUser(name):
                gone.add(name)
                yield change
                yield DeleteAcl(Subject(name))
            case _:
                yield change
    for name in confirmed - put - gone:
        there = before.user(name)
        if there is not None and not there.confirmed:
            yield PutUser(dataclasses.replace(there, confirmed=True))


def _check_meant(before: Snapshot, meant: MeantUsers | None) -> None:
    for name, incarnation in (meant.incarnations if meant else {}).items():
        user = before.user(name)
        if user is None or user.incarnation != incarnation:
            raise MetadataRejected(f"User:{name} is no longer the user that the changes are meant for: plan them again")
