"""The difference between two states of users and policies: each gained or lost right, or the certainty of none."""

import dataclasses
import enum

from mqguard.auth.analysis.access_state import AccessState, resources_of
from mqguard.auth.analysis.evaluation import PolicyEvaluation
from mqguard.auth.analysis.names import NameTree, trees
from mqguard.auth.analysis.regions import Region, parts, regions
from mqguard.auth.analysis.source_sets import SourceSet
from mqguard.auth.decide import decide
from mqguard.auth.policy import Action
from mqguard.auth.policy_index import Rights
from mqguard.auth.user import User
from mqguard.auth.verdict import Verdict


class Direction(enum.StrEnum):
    """The direction of a change of rights."""

    GAINED = "gained"
    LOST = "lost"


@dataclasses.dataclass(frozen=True, slots=True)
class RightChange:
    """Requests that are allowed in one state and denied in the other.

    Attributes:
        user: The affected user.
        direction: Gained or lost.
        region: Exactly the requests; `region.witness` is one of them.
        old: The verdict of the old state on the witness.
        new: The verdict of the new state on it.
    """

    user: str
    direction: Direction
    region: Region
    old: Verdict
    new: Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class UserChange:
    """A user that was added or removed, or whose type or status changed.

    Attributes:
        user: Its name.
        what: `added`, `removed`, `type` or `status`.
        old: The old value, empty if the user was added.
        new: The new value, empty if the user was removed.
    """

    user: str
    what: str
    old: str
    new: str


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The whole difference.

    Attributes:
        users: Changes of users.
        rights: Changes of rights. If empty, every request gets the same decision in both states.
        rewritten: Subjects whose entries are written differently, without any change of rights.
    """

    users: tuple[UserChange, ...]
    rights: tuple[RightChange, ...]
    rewritten: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """True if users and rights are the same."""
        return not (self.users or self.rights)


def compare(old: AccessState, new: AccessState) -> Comparison:
    """Return every right that the change from `old` to `new` grants or removes."""
    names = sorted({*old.names, *new.names})
    users = tuple(change for name in names for change in _user_changes(name, old.users.get(name), new.users.get(name)))
    rights: list[RightChange] = []
    rewritten: list[str] = []
    for name in names:
        changes = _right_changes(name, old, new)
        rights += changes
        if not changes and old.acls.get(name) != new.acls.get(name):
            rewritten.append(name)
    return Comparison(users, tuple(rights), tuple(rewritten))


def _user_changes(name: str, old: User | None, new: User | None) -> list[UserChange]:
    if old is None:
        return [] if new is None else [UserChange(name, "added", "", _described(new))]
    if new is None:
        return [UserChange(name, "removed", _described(old), "")]
    changes = []
    if old.type is not new.type:
        changes.append(UserChange(name, "type", old.type.value, new.type.value))
    if old.status is not new.status:
        changes.append(UserChange(name, "status", old.status.value, new.status.value))
    return changes


def _described(user: User) -> str:
    return f"{user.type.value}, {user.status.value}"


def _right_changes(name: str, old: AccessState, new: AccessState) -> list[RightChange]:
    before, after = old.acls.get(name), new.acls.get(name)
    if before == after and _standing(old.users.get(name)) == _standing(new.users.get(name)):
        return []
    forest = trees((*resources_of(before), *resources_of(after)))
    old_grid, new_grid = PolicyEvaluation(old.users.get(name), before), PolicyEvaluation(new.users.get(name), after)

    def surplus(
        one: PolicyEvaluation, other: PolicyEvaluation, tree: NameTree, place: int, action: Action
    ) -> SourceSet:
        mine, theirs = one.outcome(tree, place, action), other.outcome(tree, place, action)
        return mine.allowed - theirs.allowed

    lost = regions(forest, lambda t, p: parts(lambda a: surplus(old_grid, new_grid, t, p, a)))
    gained = regions(forest, lambda t, p: parts(lambda a: surplus(new_grid, old_grid, t, p, a)))
    told = [(Direction.LOST, region) for region in lost] + [(Direction.GAINED, region) for region in gained]
    old_rights, new_rights = old.rights(name), new.rights(name)
    return [_change(name, direction, region, old_rights, new_rights) for direction, region in told]


def _change(name: str, direction: Direction, region: Region, old: Rights | None, new: Rights | None) -> RightChange:
    request = region.witness.request
    return RightChange(name, direction, region, decide(request, old), decide(request, new))


def _standing(user: User | None) -> tuple[bool, bool]:
    """Return the facts of a user that affect its rights: True if enabled, and True if policies are not evaluated."""
    return (False, False) if user is None or not user.is_enabled else (True, user.is_super)
