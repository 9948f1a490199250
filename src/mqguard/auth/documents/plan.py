"""The changes that bring stored users and policies to the state of a document."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import Comparison, Direction, compare
from mqguard.auth.documents.document import Document, DocumentUser, SecretReference
from mqguard.auth.documents.nodes import DocumentInvalid, Mark, Problem
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Acl, Entry, PolicyType
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import LiveSecret, Secret, Subject, User, UserStatus, UserType

_MORE = frozenset({UserType.SUPER.value, UserStatus.ENABLE.value})
"""A type and a status that extend a user's rights."""

Resolve = Callable[[SecretReference], Secret]
"""Returns a secret; raises PolicyInvalid if it is not in the place that the document names."""


class PlanRefused(PolicyInvalid):
    """A plan that must not be executed, although the document is valid."""


@dataclasses.dataclass(frozen=True, slots=True)
class PlanStep:
    """One change, for users.

    Attributes:
        verb: `create`, `change` or `delete`.
        what: `user` or `policies`.
        name: The user or subject.
        details: The details, one per line; added entries begin with `+`, removed ones with `-`.
    """

    verb: str
    what: str
    name: str
    details: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The changes from the stored state to the document.

    Attributes:
        steps: The changes for users.
        changes: The same for `MetadataManager.apply`, which makes all of them or none. Empty if there is nothing to do.
        comparison: The effect on rights.
        keeping: Users in `changes` whose secrets stay unchanged.
        uncompared: Users whose secret the document names, but whose stored secret is hidden here, so that it stays.
        unconfirmed: Users that gain rights without a confirmation that they are the users that the document means.
        confirmed: Users that the document or the caller confirms.
    """

    steps: tuple[PlanStep, ...]
    changes: tuple[Change, ...]
    comparison: Comparison
    keeping: frozenset[str] = frozenset()
    uncompared: tuple[str, ...] = ()
    unconfirmed: tuple[User, ...] = ()
    confirmed: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """True if the stored state equals the document."""
        return not self.changes

    def without_kept_secrets(self) -> tuple[Change, ...]:
        """Return the changes for a server, which keeps the secrets of users sent without secrets.

        A secret that is not sent cannot be reverted: if it is replaced after this plan was made, it stays replaced.
        """
        return tuple(self._bare(change) for change in self.changes)

    def _bare(self, change: Change) -> Change:
        if isinstance(change, PutUser) and change.user.name in self.keeping:
            return PutUser(dataclasses.replace(change.user, secrets=()))
        return change


def plan(
    document: Document,
    stored: AccessState,
    resolve: Resolve,
    *,
    prune: bool = False,
    set_secrets: bool = False,
    confirmed: Collection[tuple[str, str]] = (),
) -> Plan:
    """Compare a document with the stored state.

    A subject that the document names gets exactly the content of the document. A subject that it does not name stays,
    unless pruned. Another notation or order of the same entries is not a difference.

    A name in a document means one user, so a user that gains rights must be confirmed. An earlier change from a
    document confirms a user, and so does its secret in the document, or its incarnation.

    Args:
        document: The wanted state.
        stored: The stored state, with secrets. A user whose secrets are not known here keeps its own.
        resolve: Returns the secrets that the document refers to.
        prune: Also delete users and policies that the document does not name.
        set_secrets: Set the secret also of users whose stored one is not known here.
        confirmed: Users that the caller confirms, by name and incarnation.

    Raises:
        DocumentInvalid: A secret is not in the named place, a new user has none, or a subject is not a user.
        PlanRefused: No enabled Super user would be left.
    """
    planner = _DocumentPlanner(document, stored, resolve, prune=prune, set_secrets=set_secrets)
    return planner.plan(confirmed)


class _DocumentPlanner:
    def __init__(
        self, document: Document, stored: AccessState, resolve: Resolve, *, prune: bool, set_secrets: bool
    ) -> None:
        self._document = document
        self._stored = stored
        self._resolve = resolve
        self._prune = prune
        self._set_secrets = set_secrets
        self._problems: list[Problem] = []
        self._users = dict(stored.users)
        self._acls = dict(stored.acls)
        self._steps: list[PlanStep] = []
        self._changes: list[Change] = []
        self._keeping: set[str] = set()
        self._uncompared: list[str] = []
        # Users that have the document's secret, or get it.
        self._known: set[str] = set()

    def plan(self, confirmed: Collection[tuple[str, str]]) -> Plan:
        for user in self._document.users.values():
            self._put_user(user)
        for name, acl in self._document.acls.items():
            self._put_acl(name, acl)
        if self._prune:
            self._delete_unnamed()
        if self._problems:
            raise DocumentInvalid(self._problems)
        if _live_supers(self._stored.users) and not _live_supers(self._users):
            raise PlanRefused("no enabled Super user would be left to administer users and policies: keep one")
        comparison = compare(self._stored, AccessState(self._users, self._acls))
        known = set(self._confirmed(confirmed))
        return Plan(
            tuple(self._steps),
            tuple(self._changes),
            comparison,
            frozenset(self._keeping),
            tuple(self._uncompared),
            tuple(self._unconfirmed(comparison, known)),
            frozenset(known),
        )

    def _confirmed(self, by_caller: Collection[tuple[str, str]]) -> Iterator[str]:
        for name, user in self._stored.users.items():
            wanted = self._document.users.get(name)
            is_named = wanted is not None and user.incarnation in wanted.incarnations
            if is_named or name in self._known or (name, user.incarnation) in by_caller:
                yield name

    def _unconfirmed(self, comparison: Comparison, known: Collection[str]) -> Iterator[User]:
        gaining = {change.user for change in comparison.rights if change.direction is Direction.GAINED}
        gaining |= {change.user for change in comparison.users if change.new in _MORE}
        for name in sorted(gaining & self._stored.users.keys()):
            user = self._stored.users[name]
            if not user.confirmed and name not in known:
                yield user

    def _put_user(self, wanted: DocumentUser) -> None:
        there = self._users.get(wanted.name)
        secret = self._secret(wanted)
        if there is None:
            if secret is None:
                if wanted.secret is None:
                    self._note(
                        wanted.mark,
                        f"the user `{wanted.name}` is new and needs a secret: write `secret: {{env: NAME}}` or "
                        "`secret: {file: PATH}`",
                    )
                return
            user = User(wanted.name, (LiveSecret(secret),), wanted.type, wanted.status)
            self._store_user(user, "create", (f"{user.type.value}, {user.status.value}",))
            # A new user starts without policies, even if policies remain under its name.
            if user.name in self._acls and user.name not in self._document.acls:
                self._delete_acl(user.name, tuple(_entry_changes(self._acls[user.name], None)))
            return
        self._change_user(wanted, there, secret)

    def _change_user(self, wanted: DocumentUser, there: User, secret: Secret | None) -> None:
        secrets, details = there.secrets, []
        if secret is not None and self._is_new(secret, there):
            secrets = (LiveSecret(secret),)
            details.append("the secret changes")
        elif secret is not None and not secrets:
            self._uncompared.append(wanted.name)
        if secret is not None and secrets:
            self._known.add(wanted.name)
        if there.type is not wanted.type:
            details.append(f"type {there.type.value} becomes {wanted.type.value}")
        if there.status is not wanted.status:
            details.append(f"status {there.status.value} becomes {wanted.status.value}")
        if details:
            if secrets is there.secrets:
                self._keeping.add(wanted.name)
            changed = dataclasses.replace(there, secrets=secrets, type=wanted.type, status=wanted.status)
            self._store_user(changed, "change", tuple(details))

    def _is_new(self, secret: Secret, there: User) -> bool:
        if not there.secrets:
            return self._set_secrets
        return not there.secrets[0].secret.equals(secret)

    def _secret(self, wanted: DocumentUser) -> Secret | None:
        if wanted.secret is None:
            return None
        try:
            return self._resolve(wanted.secret)
        except PolicyInvalid as error:
            place = wanted.secret.mark or wanted.mark
            self._note(place, f"the secret of `{wanted.name}` was not found: {error}")
            return None

    def _put_acl(self, name: str, wanted: Acl) -> None:
        there = self._acls.get(name)
        details = tuple(_entry_changes(there, wanted))
        is_left_alone = there is not None and not (details and wanted.policies)
        if not self._will_be(name) and (name in self._stored.users or not is_left_alone):
            mark = self._document.subjects[name]
            self._note(mark, f"`{wanted.subject.key}` does not exist: add it under `users`")
            return
        is_new_user = name in self._users and name not in self._stored.users
        if not details and not (is_new_user and there is not None):
            return
        if wanted.policies:
            self._acls[name] = wanted
            self._changes.append(PutAcl(wanted))
            self._steps.append(PlanStep("change" if there else "create", "policies", name, details))
        else:
            self._delete_acl(name, details)

    def _will_be(self, name: str) -> bool:
        """True if the user exists afterwards."""
        return name in self._document.users or (name in self._stored.users and not self._prune)

    def _delete_unnamed(self) -> None:
        for name in self._stored.names:
            if name in self._users and name not in self._document.users:
                del self._users[name]
                self._changes.append(DeleteUser(name))
                self._steps.append(PlanStep("delete", "user", name, ()))
            # A named subject stays, even policies without a user: applying an export changes nothing.
            if name in self._acls and name not in self._document.acls:
                self._delete_acl(name, tuple(_entry_changes(self._acls[name], None)))

    def _delete_acl(self, name: str, details: tuple[str, ...]) -> None:
        del self._acls[name]
        self._changes.append(DeleteAcl(Subject(name)))
        self._steps.append(PlanStep("delete", "policies", name, details))

    def _store_user(self, user: User, verb: str, details: tuple[str, ...]) -> None:
        self._users[user.name] = user
        self._changes.append(PutUser(user))
        self._steps.append(PlanStep(verb, "user", user.name, details))

    def _note(self, mark: Mark, message: str) -> None:
        self._problems.append(Problem(mark, message))


def _entry_changes(there: Acl | None, wanted: Acl | None) -> Iterator[str]:
    for kind in PolicyType:
        old = there.entries(kind) if there else ()
        new = wanted.entries(kind) if wanted else ()
        old_count, new_count = Counter(map(_meaning, old)), Counter(map(_meaning, new))
        yield from (f"- {kind.value}: {_text(entry)}" for entry in _surplus(old, old_count - new_count))
        yield from (f"+ {kind.value}: {_text(entry)}" for entry in _surplus(new, new_count - old_count))


def _text(entry: Entry) -> str:
    """Return an entry with the meaning of a namespace: in policies copied from Apache RocketMQ it never matched."""
    resource = entry.resource
    if resource.type is not ResourceType.NAMESPACE:
        return entry.text
    if resource.spans_namespaces:
        such = f" that begins with `{resource.name}`" if resource.name else ""
        return f"{entry.text} (matches the topics and groups of every namespace{such})"
    _, prefix = resource.compared
    return f"{entry.text} (matches Topic:{prefix}* and Group:{prefix}*)"


def _surplus(entries: tuple[Entry, ...], surplus: Counter[object]) -> Iterator[Entry]:
    for entry in entries:
        meaning = _meaning(entry)
        if surplus[meaning]:
            surplus[meaning] -= 1
            yield entry


def _meaning(entry: Entry) -> object:
    networks = frozenset(source.network for source in entry.sources)
    return entry.resource, frozenset(entry.actions), networks, entry.decision


def _live_supers(users: Mapping[str, User]) -> int:
    return sum(user.is_super and user.is_enabled for user in users.values())
