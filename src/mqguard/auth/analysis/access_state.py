"""Users and policies as plain values, and the effective rights of users, as regions of requests."""

import dataclasses
from collections.abc import Iterable, Mapping

from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS, PolicyEvaluation
from mqguard.auth.analysis.names import NameTree, trees
from mqguard.auth.analysis.regions import ActionsFromSources, Region, parts, regions
from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
from mqguard.auth.policy import Acl, Action, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource
from mqguard.auth.user import User


@dataclasses.dataclass(frozen=True, slots=True)
class EntryLocation:
    """The location of an entry.

    Attributes:
        subject: The subject's name.
        policy: The type of the policy.
        number: The entry's position in it, from 1.
    """

    subject: str
    policy: PolicyType
    number: int

    @property
    def text(self) -> str:
        """The location for users."""
        return f"User:{self.subject} {self.policy.value} entry {self.number}"


@dataclasses.dataclass(frozen=True, slots=True)
class AccessState:
    """A state of users and policies.

    Attributes:
        users: By name. Analysis does not require their secrets.
        acls: By the name of the subject, which need not be that of a user.
    """

    users: Mapping[str, User]
    acls: Mapping[str, Acl]

    @classmethod
    def of(cls, users: Iterable[User], acls: Iterable[Acl]) -> "AccessState":
        """Collect users and policies by name."""
        return cls({user.name: user for user in users}, {acl.subject.name: acl for acl in acls})

    @property
    def names(self) -> tuple[str, ...]:
        """Every user and every subject of a policy, sorted."""
        return tuple(sorted(self.users.keys() | self.acls.keys()))

    def rights(self, name: str) -> Rights | None:
        """Return the input of `decide` for that user, or None if no such user exists."""
        user = self.users.get(name)
        return None if user is None else Rights(user, self.acls.get(name))


@dataclasses.dataclass(frozen=True, slots=True)
class RightHolder:
    """A user that may do all or a part of the given requests.

    Attributes:
        user: Its name.
        is_super: True if policies are not evaluated for it.
        regions: The allowed part of the given requests.
        whole: True if it may do all of them: every name, every action, from every given source.
    """

    user: str
    is_super: bool
    regions: tuple[Region, ...]
    whole: bool


def resources_of(acl: Acl | None) -> tuple[Resource, ...]:
    """Return every resource in the entries of a subject."""
    if acl is None:
        return ()
    return tuple(entry.resource for policy in acl.policies for entry in policy.entries)


def rights_of(directory: AccessState, name: str) -> tuple[Region, ...]:
    """Return everything that a user may do; nothing for a disabled user and for one that does not exist."""
    acl = directory.acls.get(name)
    grid = PolicyEvaluation(directory.users.get(name), acl)
    return regions(
        trees(resources_of(acl)),
        lambda tree, place: parts(lambda action: grid.outcome(tree, place, action).allowed),
    )


def may_do_nothing(directory: AccessState, name: str) -> bool:
    """True if `rights_of` would be empty; this check is faster than computing the rights."""
    acl = directory.acls.get(name)
    grid = PolicyEvaluation(directory.users.get(name), acl)
    return all(
        grid.outcome(tree, place, action).allowed.is_empty
        for tree in trees(resources_of(acl))
        for place in range(len(tree.classes))
        if tree.classes[place].sample() is not None
        for action in REQUEST_ACTIONS
    )


def who_can(
    directory: AccessState, actions: frozenset[Action], resource: Resource, sources: SourceSet = ANYWHERE
) -> tuple[RightHolder, ...]:
    """Return every user that may do one of the actions to the resource, or to a part of a prefix or a type.

    Args:
        directory: Users and policies.
        actions: Any of these; `All` means each.
        resource: A name, a prefix, all of a type, or everything.
        sources: The sources of the requests.
    """
    wanted = tuple(action for action in REQUEST_ACTIONS if action in actions or Action.ALL in actions)
    found = (_holder(directory, name, wanted, resource, sources) for name in sorted(directory.users))
    return tuple(holder for holder in found if holder.regions)


def _holder(
    directory: AccessState, name: str, wanted: tuple[Action, ...], resource: Resource, sources: SourceSet
) -> RightHolder:
    user, acl = directory.users[name], directory.acls.get(name)
    grid = PolicyEvaluation(user, acl)
    forest = trees((*resources_of(acl), resource))

    def parts_of(tree: NameTree, place: int) -> tuple[ActionsFromSources, ...]:
        if place not in tree.within(resource):
            return ()
        return parts(lambda action: grid.outcome(tree, place, action).allowed & sources, wanted)

    whole = all(
        (sources - grid.outcome(tree, place, action).allowed).is_empty
        for tree in forest
        for place in tree.within(resource)
        if tree.classes[place].sample() is not None
        for action in wanted
    )
    return RightHolder(name, user.is_super, regions(forest, parts_of), whole)
