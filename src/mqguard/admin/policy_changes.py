"""Changes of single entries: added, set or removed at every broker, with the permissions that they give and take."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mqguard.admin import policies, topics, users
from mqguard.admin.client import Client
from mqguard.admin.errors import ChangesIncomplete, EntryExists, nearest_names
from mqguard.admin.session import Session
from mqguard.admin.task_rights import BY_NAME
from mqguard.auth.analysis.access_state import AccessState, rights_of
from mqguard.auth.analysis.comparison import Comparison, Direction, compare
from mqguard.auth.analysis.lint import Finding, LintRule, lint, lint_acl
from mqguard.auth.analysis.regions import Region
from mqguard.auth.decide import decide
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Source, check_sources
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest
from mqguard.errors import MqguardError, NotFound
from mqguard.model.names import owner_of

Entries = tuple[Entry, ...]

Edit = Callable[[Entries], Entries]
"""Returns the entries of one policy after a change.

Raises:
    NotFound: There is nothing to remove.
    EntryExists: There is something that must not be replaced.
"""

MAX_CHECKED_TOPICS = 20
"""Maximum number of topics that are looked up after a change."""

_SINGLE_ACTIONS = tuple(action for action in Action if action is not Action.ALL)


class Selection(NamedTuple):
    """Entries, or parts of entries, to remove.

    Attributes:
        resource: Resource of the entries.
        actions: Actions to remove; empty removes whole entries.
        sources: Sources of the entries, exactly these; None selects entries with any sources.
        decision: Decision of the entries; None selects both.
    """

    resource: Resource
    actions: tuple[Action, ...] = ()
    sources: tuple[Source, ...] | None = None
    decision: Decision | None = None


class AclChange(NamedTuple):
    """A completed change of a subject's policies at one broker.

    Attributes:
        broker: Name of the broker.
        comparison: Permissions gained and lost.
        before: User and policies before the change.
        after: User and policies after it, as the broker shows them.
    """

    broker: str
    comparison: Comparison
    before: AccessState
    after: AccessState

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Problems that the change has made, without those that existed before."""
        known = {(finding.rule, finding.message) for finding in lint(self.before)}
        return tuple(one for one in lint(self.after) if (one.rule, one.message) not in known)


class TaskRequest(NamedTuple):
    """Tasks that a user shall be able to do.

    Attributes:
        topics: Topics of each task, by its name; tasks without topics have none.
        groups: Consumer groups for the tasks that need one.
        sources: Sources of the entries; empty is anywhere.
    """

    topics: Mapping[str, Sequence[str]]
    groups: Sequence[str] = ()
    sources: tuple[Source, ...] = ()

    def entries(self, cluster: str) -> list[Entry]:
        """Return the entries that allow the tasks.

        Args:
            cluster: Name of the cluster.

        Raises:
            PolicyInvalid: A group is missing, or no task needs the group; or a name is not valid.
        """
        tasks = [(BY_NAME[name], topics) for name, topics in self.topics.items()]
        wanting = next((task for task, _ in tasks if task.needs_group), None)
        if wanting is not None and not self.groups:
            raise PolicyInvalid(f"`--{wanting.name}` needs the consumer group: add `--group GROUP`")
        if self.groups and wanting is None:
            raise PolicyInvalid("`--group` belongs to a task that consumes, such as `--consumer TOPIC`")
        found: dict[Resource, dict[Action, None]] = {}
        for task, names in tasks:
            for key, actions in task.filled(names, self.groups, cluster):
                held = found.setdefault(Resource.parse(key), {})
                held.update(dict.fromkeys(map(Action.parse, actions.split(","))))
        return [Entry(resource, tuple(held), self.sources, Decision.ALLOW) for resource, held in found.items()]


def check_entries(subject: Subject, kind: PolicyType, entries: Sequence[Entry]) -> None:
    """Refuse entries that no request can ever match.

    Raises:
        PolicyInvalid: A source is not the address of any client, or no topic or group can have the name.
    """
    for entry in entries:
        if not entry.resource.name.isprintable():
            raise PolicyInvalid(f"no name has characters that do not print, as `{entry.resource.key}` has")
        check_sources(entry.sources)
    for finding in lint_acl(Acl(subject, (Policy(kind, tuple(entries)),))):
        if finding.rule is LintRule.UNREACHABLE:
            raise PolicyInvalid(finding.message)


def add(given: Sequence[Entry]) -> Edit:
    """Return an edit that adds entries, and joins actions into existing entries with the same decision and sources."""

    def edit(stored: Entries) -> Entries:
        entries = list(stored)
        for entry in given:
            _add_entry(entries, entry)
        return tuple(entries)

    return edit


def remove_all(stored: Entries) -> Entries:
    """Remove every entry, as an edit."""
    del stored
    return ()


def create(given: Sequence[Entry]) -> Edit:
    """Return an edit that adds entries, but only for resources that have none."""

    def edit(stored: Entries) -> Entries:
        for entry in given:
            for other in stored:
                if other.resource == entry.resource and other not in given:
                    raise EntryExists(
                        f"nothing was changed: `{entry.resource.key}` already has the entry `{other.text}`: "
                        "`mqguard acl add` adds to it, and `mqguard acl set` replaces it"
                    )
        return add(given)(stored)

    return edit


def put(given: Sequence[Entry]) -> Edit:
    """Return an edit after which the resources of the given entries have exactly these entries."""

    def edit(stored: Entries) -> Entries:
        named = {entry.resource for entry in given}
        return (*(entry for entry in stored if entry.resource not in named), *add(given)(()))

    return edit


def remove(selections: Sequence[Selection]) -> Edit:
    """Return an edit that removes entries, or some of their actions."""

    def edit(stored: Entries) -> Entries:
        entries = stored
        for selection in selections:
            rest = [part for entry in entries for part in _without(entry, selection)]
            if tuple(rest) == entries:
                raise NotFound(_missing(selection, stored))
            entries = tuple(rest)
        return entries

    return edit


def change_acl(client: Client, cluster: str | None, subject: Subject, edits: dict[PolicyType, Edit]) -> list[AclChange]:
    """Change policies of a subject at every broker of a cluster.

    Every broker is read before the first one is changed. Each is read again at the end, so that the result shows the
    permissions that are really in force.

    Raises:
        NotFound: The user does not exist, or has no such entry; nothing has changed.
        EntryExists: An entry exists that must not be replaced; nothing has changed.
        PeerRefused: The first broker refused; nothing has changed.
        ChangesIncomplete: A later broker refused, or a broker stored other entries than it was given.
    """
    name = subject.name
    with_acl: dict[str, Acl] = {}

    def prepare(broker: str, before: AccessState) -> None:
        with_acl[broker] = _edited(before.acls.get(name), subject, edits)

    def store(broker: str, session: Session, before: AccessState) -> None:
        _store(session, subject, before.acls.get(name), with_acl[broker])

    changes = change_user(client, cluster, name, store, prepare)
    for change in changes:
        _check_stored(change.broker, change.after.acls.get(name), with_acl[change.broker])
    return changes


def change_user(
    client: Client,
    cluster: str | None,
    name: str,
    store: Callable[[str, Session, AccessState], None],
    prepare: Callable[[str, AccessState], None] = lambda _name, _before: None,
    *,
    only_existing: bool = False,
) -> list[AclChange]:
    """Change one user or its policies at every broker of a cluster.

    Args:
        client: Client of the cluster.
        cluster: Name of the cluster; None if there is only one.
        name: Name of the user.
        store: Makes the change at one broker.
        prepare: Checks the change at one broker; it is called for all brokers before the first change.
        only_existing: True to leave out brokers without the user, if another broker has it.

    Raises:
        NotFound: The user does not exist at a broker; nothing has changed.
        ChangesIncomplete: A later broker refused.
    """
    sessions = [(broker.name, client.at(broker.address)) for broker in client.brokers(cluster)]
    states = [_read_state(session, name) for _, session in sessions]
    if only_existing and any(state.users for state in states):
        kept = [(pair, state) for pair, state in zip(sessions, states, strict=True) if state.users]
        sessions, states = [pair for pair, _ in kept], [state for _, state in kept]
    for (broker, session), before in zip(sessions, states, strict=True):
        if not before.users:
            is_partial = any(state.users for state in states)
            raise _unknown_user(session, name, f" at the broker `{broker}`" if is_partial else "")
        prepare(broker, before)
    done: list[AclChange] = []
    for (broker, session), before in zip(sessions, states, strict=True):
        try:
            store(broker, session, before)
            after = _read_state(session, name)
        except MqguardError as error:
            if not done:
                raise
            changed = ", ".join(f"`{one.broker}`" for one in done)
            raise ChangesIncomplete(f"`{broker}` refuses: {error}; already changed: {changed}") from None
        done.append(AclChange(broker, compare(before, after), before, after))
    return done


def advise(client: Client, cluster: str | None, change: AclChange) -> list[str]:
    """Return the reasons why gained permissions do not work alone, each with a command that completes them."""
    if not change.after.users:
        return []
    (user,) = change.after.users.values()
    gained = [right.region for right in change.comparison.rights if right.direction is Direction.GAINED]
    if user.is_super or not user.is_enabled or not gained:
        return []
    held = rights_of(change.after, user.name)
    return [*_lonely_consumer(user.name, gained, held), *_missing_topics(client, cluster, change.after, gained)]


def _lonely_consumer(name: str, gained: Iterable[Region], held: Iterable[Region]) -> Iterator[str]:
    topics, groups = (_allowed(held, kind, Action.SUB) for kind in (ResourceType.TOPIC, ResourceType.GROUP))
    new_topics, new_groups = (_allowed(gained, kind, Action.SUB) for kind in (ResourceType.TOPIC, ResourceType.GROUP))
    command = f"mqguard acl add {shlex.quote(f'User:{name}')}"
    if new_topics and not groups:
        yield (
            f"`{name}` may now receive from `{new_topics[0].resource.key}`, but may use no consumer group, so it "
            f"receives nothing: run `{command} -r Group:GROUP -a Sub`"
        )
    if new_groups and not topics:
        yield (
            f"`{name}` may now use `{new_groups[0].resource.key}`, but may receive from no topic: "
            f"run `{command} -r Topic:TOPIC -a Sub`"
        )


def _missing_topics(client: Client, cluster: str | None, state: AccessState, gained: Iterable[Region]) -> Iterator[str]:
    names = [region.resource.name for region in _allowed(gained, ResourceType.TOPIC, Action.PUB)[:MAX_CHECKED_TOPICS]]
    if not names:
        return
    session = client.at(client.brokers(cluster)[0].address)
    (user,) = state.users
    for name in filter(None, names):
        if owner_of(name) is not None or topics.is_known(session, name) is not False:
            continue
        request = AccessRequest(ResourceType.TOPIC, name, frozenset({Action.CREATE}))
        if not topics.creates_by_sending(session) or not decide(request, state.rights(user)).allowed:
            yield (
                f"the topic `{name}` does not exist, and `{user}` cannot create it by sending: "
                f"run `mqguard topic create {shlex.quote(name)}`"
            )


def _allowed(regions: Iterable[Region], kind: ResourceType, action: Action) -> list[Region]:
    return [one for one in regions if one.resource.type in (kind, ResourceType.ANY) and action in one.actions]


def read_subject(session: Session, name: str) -> AccessState:
    """Return one user and its policies from a broker.

    Raises:
        NotFound: The user does not exist.
        PeerRefused: The caller has no permission.
    """
    found = _read_state(session, name)
    if not found.users:
        raise _unknown_user(session, name)
    return found


def _unknown_user(session: Session, name: str, where: str = "") -> NotFound:
    names = [one.name for one in users.find(session)]
    return NotFound(f"the user `{name}` does not exist{where}{nearest_names(name, names)}")


def _read_state(session: Session, name: str) -> AccessState:
    found = users.get(session, name)
    if found is None:
        return AccessState.of([], [])
    acl = policies.get(session, Subject(name))
    user = User(found.name, (), UserType.parse(found.type), UserStatus.parse(found.status))
    return AccessState.of([user], [] if acl is None else [acl])


def _add_entry(entries: list[Entry], entry: Entry) -> None:
    place = len(entries)
    for at, other in enumerate(entries):
        if other.resource != entry.resource:
            continue
        place = at + 1
        if other.decision is entry.decision and _networks(other) == _networks(entry):
            entries[at] = _with_actions(other, (*other.actions, *entry.actions))
            return
    entries.insert(place, _with_actions(entry, entry.actions))


def _with_actions(entry: Entry, actions: tuple[Action, ...]) -> Entry:
    """Return an entry with other actions, each once, and `All` alone."""
    unique = (Action.ALL,) if Action.ALL in actions else tuple(dict.fromkeys(actions))
    return Entry(entry.resource, unique, entry.sources, entry.decision)


def _without(entry: Entry, selection: Selection) -> Entries:
    """Return what remains of an entry: itself, an entry with fewer actions, or nothing."""
    if entry.resource != selection.resource:
        return (entry,)
    if selection.decision not in (None, entry.decision):
        return (entry,)
    if selection.sources is not None and _networks(entry) != {source.network for source in selection.sources}:
        return (entry,)
    if not selection.actions or Action.ALL in selection.actions:
        return ()
    held = _SINGLE_ACTIONS if Action.ALL in entry.actions else entry.actions
    rest = tuple(action for action in held if action not in selection.actions)
    if len(rest) == len(held):
        return (entry,)
    return (Entry(entry.resource, rest, entry.sources, entry.decision),) if rest else ()


def _missing(selection: Selection, stored: Entries) -> str:
    about = [entry for entry in stored if entry.resource == selection.resource]
    key = selection.resource.key
    if about:
        return f"no entry for `{key}` has that; it has " + ", ".join(f"`{entry.text}`" for entry in about)
    return f"no entry for `{key}`{nearest_names(key, [entry.resource.key for entry in stored])}"


def _networks(entry: Entry) -> set[object]:
    return {source.network for source in entry.sources}


def _edited(acl: Acl | None, subject: Subject, edits: dict[PolicyType, Edit]) -> Acl:
    stored = acl or Acl(subject, ())
    kinds = dict.fromkeys([*(policy.type for policy in stored.policies), *edits])
    made: list[Policy] = []
    for kind in kinds:
        entries = stored.entries(kind)
        if kind in edits:
            try:
                entries = edits[kind](entries)
            except NotFound as error:
                raise NotFound(f"nothing was changed: {subject.key} {kind.value}: {error}") from None
        made.append(Policy(kind, entries))
    return Acl(subject, tuple(made))


def _store(session: Session, subject: Subject, old: Acl | None, new: Acl) -> None:
    """Send only the resources that change, so that a change of others at the same time stays."""
    for policy in new.policies:
        before = () if old is None else old.entries(policy.type)
        named = dict.fromkeys(entry.resource for entry in (*before, *policy.entries))
        changed = [one for one in named if _of(before, one) != _of(policy.entries, one)]
        given = [entry for one in changed for entry in _of(policy.entries, one)]
        if given:
            policies.update(session, subject, given, policy.type)
        for one in changed:
            if not _of(policy.entries, one):
                policies.delete(session, subject, one, policy.type)


def _of(entries: Entries, resource: Resource) -> list[Entry]:
    return [entry for entry in entries if entry.resource == resource]


def _check_stored(broker: str, stored: Acl | None, given: Acl) -> None:
    for policy in given.policies:
        found = () if stored is None else stored.entries(policy.type)
        if set(map(_key, found)) != set(map(_key, policy.entries)):
            raise ChangesIncomplete(
                f"the broker `{broker}` has other {policy.type.value} entries now than it was given: it may keep only "
                f"one entry for a resource, or another administrator has changed it: see `mqguard acl get "
                f"{given.subject.key}`"
            )


def _key(entry: Entry) -> tuple[object, ...]:
    return entry.resource, frozenset(entry.actions), frozenset(_networks(entry)), entry.decision
