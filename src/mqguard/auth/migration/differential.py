"""Every account, resource and action of an ACL 1.0 file, decided by 1.0's rules and by mqguard's."""

import dataclasses
import itertools
from collections.abc import Iterator

from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS
from mqguard.auth.decide import decide
from mqguard.auth.documents.nodes import Mark
from mqguard.auth.migration.acl_v1 import RANGES, AclV1Account, AclV1Permissions, items_of
from mqguard.auth.migration.conversion import DEFAULT_OPTIONS, Converted, MigrationOptions, target_of
from mqguard.auth.migration.white_list import WhiteListInvalid, parse_white_list
from mqguard.auth.policy import Action
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import Address, Source
from mqguard.auth.verdict import AccessRequest, Reason
from mqguard.model.names import ALL_MESSAGES, TRACE_TOPIC, owner_of

_READING = (Action.GET, Action.LIST)
_KINDS = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER)
_REST = tuple(action for action in REQUEST_ACTIONS if action not in _READING)


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """A request that 1.0 and mqguard decide differently for an account.

    Attributes:
        account: Its name, empty for all clients.
        resource: The resource, as text; `any other topic` for those that the file does not list.
        actions: The actions.
        before: True if 1.0 allows it.
        after: True if mqguard allows it. Never True if `before` is False.
        why: The reason.
        file: The file of the account.
        mark: The responsible line.
        versions: The versions of 1.0 that decide like `before`, if others do not; empty if all do.
    """

    account: str
    resource: str
    actions: tuple[Action, ...]
    before: bool
    after: bool
    why: str
    file: str
    mark: Mark
    versions: str = ""


def differences(converted: Converted, options: MigrationOptions = DEFAULT_OPTIONS) -> Iterator[Difference]:
    """Return the different decisions of 1.0 and mqguard about a migrated account; see `differences_of`."""
    rights = Rights(converted.user, converted.acl)
    return _Differential(converted.account, rights, options, sources=converted.sources).found()


def differences_of(
    account: AclV1Account, after: Rights | None, options: MigrationOptions = DEFAULT_OPTIONS, *, exists: bool = False
) -> Iterator[Difference]:
    """Return the different decisions about an account: its white list, its listed resources, and all others.

    Reading is reported once for the account, not again for each resource.

    Args:
        account: The account, which has a name.
        after: Its rights in mqguard; None if it is left out.
        options: The choices of the operator.
        exists: True if the user existed before, and the migration does not change it.
    """
    return _Differential(account, after, options, exists=exists).found()


class _Differential:
    def __init__(
        self,
        account: AclV1Account,
        after: Rights | None,
        options: MigrationOptions,
        *,
        exists: bool = False,
        sources: tuple[Source, ...] = (),
    ) -> None:
        self._account = account
        self._exists = exists
        self._sources = sources
        # Rights are compared at an address from which the account has them.
        self._address: Address | None = sources[0].network.network_address if sources else None
        ranges = RANGES if options.version is None else ((options.version, options.version),)
        self._ranges = ranges
        self._before = [AclV1Permissions.of(account, first) for first, _ in ranges]
        self._items = {item.key: item for item in items_of(account) if item.key is not None}
        self._after = after

    def found(self) -> Iterator[Difference]:
        yield from self._white_list()
        yield from self._reading()
        for key, item in self._items.items():
            kind, name = target_of(key)
            if _can_be_named(kind, name):
                yield from self._of_resource(kind, name, f"{kind.value}:{name}", item.mark)
        for kind in _KINDS:
            told = f"any {'' if kind is ResourceType.CLUSTER else 'other '}{kind.value.lower()}"
            yield from self._of_resource(kind, self._unlisted(kind), told, self._account.mark)

    def _white_list(self) -> Iterator[Difference]:
        white = self._account.white_address
        if white is None or not _has_effect(white.text):
            return
        why = "1.0 required no credentials from there, not even a signature"
        told = f"everything, from `{white.text}` without a signature"
        yield self._difference(told, REQUEST_ACTIONS, white.mark, why, before=True)
        if self._sources:
            told = f"its resources, from outside `{white.text}`"
            why = "the white list became the sources of its entries"
            yield self._difference(told, self._kept_actions(), white.mark, why, before=True)

    def _kept_actions(self) -> tuple[Action, ...]:
        """Return the actions that the account keeps on any resource."""
        resources = [*map(target_of, self._items), *((kind, self._unlisted(kind)) for kind in _KINDS)]
        return tuple(
            action for action in REQUEST_ACTIONS if any(self._allowed(kind, name, action) for kind, name in resources)
        )

    def _reading(self) -> Iterator[Difference]:
        kept = all(self._allowed(kind, self._unlisted(kind), action) for kind in _KINDS for action in _READING)
        if not kept:
            why = "1.0 let every account read statistics and configuration; in mqguard, reading requires a right"
            yield self._difference("every topic, group and cluster", _READING, self._account.mark, why, before=True)

    def _of_resource(self, kind: ResourceType, name: str, told: str, mark: Mark) -> Iterator[Difference]:
        for before in (True, False):
            found: dict[str, list[Action]] = {}
            for action in _REST:
                versions = self._versions(kind, name, action, decided=before)
                if versions is not None and self._allowed(kind, name, action) is not before:
                    found.setdefault(versions, []).append(action)
            for versions, actions in found.items():
                why = self._why(kind, name, versions)
                yield self._difference(told, tuple(actions), mark, why, before=before, versions=versions)

    def _versions(self, kind: ResourceType, name: str, action: Action, *, decided: bool) -> str | None:
        """Return the versions with this decision as text: empty for all, None for none of them."""
        agree = [_was_allowed(one, kind, name, action) is decided for one in self._before]
        if not any(agree):
            return None
        if all(agree):
            return ""
        # The ranges of equal decisions have no gaps, so the outermost versions name them.
        kept = [span for span, agrees in zip(self._ranges, agree, strict=True) if agrees]
        return f"{kept[0][0]} to {kept[-1][1]}"

    def _allowed(self, kind: ResourceType, name: str, action: Action) -> bool:
        # Equivalent to the guard's checks, in all three.
        if action is Action.SUB and _holds_all(kind, name):
            return self._after is not None and self._after.user.is_super and self._after.user.is_enabled
        owner = owner_of(name) if kind is ResourceType.TOPIC else None
        if owner is not None:
            # Such a topic belongs to its group, and a consumer may send messages back.
            kind, name = ResourceType.GROUP, owner
            action = Action.SUB if action is Action.PUB else action
        verdict = decide(AccessRequest(kind, name, frozenset({action}), self._address), self._after)
        if (kind, name, action) == (ResourceType.TOPIC, TRACE_TOPIC, Action.PUB) and verdict.reason is Reason.NO_MATCH:
            # Each user may send traces, unless a policy denies it.
            return True
        return verdict.allowed

    def _unlisted(self, kind: ResourceType) -> str:
        """Return a name that the account does not list, as a representative of all others."""
        listed = set(map(target_of, self._items))
        return next(name for name in map("other{}".format, itertools.count()) if (kind, name) not in listed)

    def _why(self, kind: ResourceType, name: str, versions: str) -> str:
        if self._exists:
            return (
                "the existing user has other rights"
                if self._after
                else "there are policies, but the user does not exist"
            )
        if self._after is None:
            return "the account is left out"
        if (kind, name) == (ResourceType.TOPIC, TRACE_TOPIC):
            return "in mqguard each user may send traces, unless a policy denies it"
        if versions:
            return "versions of 1.0 differ, and mqguard allows what all of them allowed"
        if owner_of(name) is not None:
            return "in mqguard the topic belongs to its group"
        if _holds_all(kind, name):
            return "the topic contains messages of all topics, and only Super users may read it in mqguard"
        return "the item is left out"

    def _difference(
        self, told: str, actions: tuple[Action, ...], mark: Mark, why: str, *, before: bool, versions: str = ""
    ) -> Difference:
        account = self._account
        return Difference(
            account.access_key or "", told, actions, before, not before, why, account.file, mark, versions
        )


def _was_allowed(before: AclV1Permissions, kind: ResourceType, name: str, action: Action) -> bool:
    owner = owner_of(name)
    if action is Action.PUB and owner is not None:
        # A consumer's send-back also stores messages there, and 1.0 only requires Sub on the group.
        consumes = before.allows(ResourceType.GROUP, owner, Action.SUB)
        return consumes or before.allows(kind, name, action)
    return before.allows(kind, name, action)


def _has_effect(white: str) -> bool:
    """True if 1.0 can use the white list and it matches an address."""
    try:
        return not parse_white_list(white).is_empty
    except WhiteListInvalid:
        return False


def _can_be_named(kind: ResourceType, name: str) -> bool:
    """True if a request can name it; a name that is impossible is left out with a note, without a difference."""
    is_nobody = kind is ResourceType.GROUP and owner_of(name) is not None
    return bool(name) and "*" not in name and not is_nobody


def _holds_all(kind: ResourceType, name: str) -> bool:
    return kind is ResourceType.TOPIC and name in ALL_MESSAGES
