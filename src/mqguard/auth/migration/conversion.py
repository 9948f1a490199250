"""Conversion of one ACL 1.0 account to a user and policies that allow no more than 1.0 did, with notes.

Rule 1: an admin that 1.0 does not limit becomes Super; any other account becomes Normal.
Rule 2: items become Custom entries, defaults become Default entries, which apply to the same resources as in 1.0.
Rule 3: an item without an exact equivalent is left out with a note if that removes rights. If that would add rights,
the whole account is left out.
Rule 4: without a known version, an account gets only what every version of 1.0 allowed.
Rule 5: a white list becomes the sources of all Allow entries, if so chosen, and otherwise has no effect.
"""

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping

from mqguard.auth.documents.nodes import Mark
from mqguard.auth.migration.acl_v1 import (
    AclV1Account,
    AclV1Permissions,
    AclV1Version,
    Item,
    LocatedText,
    Permission,
    items_of,
    trimmed,
)
from mqguard.auth.migration.white_list import WhiteList, WhiteListInvalid, parse_white_list
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.source import Source
from mqguard.auth.user import LiveSecret, Subject, User, UserType
from mqguard.model.names import DLQ_PREFIX, RETRY_PREFIX, owner_of
from mqguard.model.text import is_blank


class NoteKind(enum.StrEnum):
    """The kind of a note, as a keyword."""

    SKIPPED_ACCOUNT = "skipped-account"
    """The account is not migrated at all."""
    EXISTING_USER = "existing-user"
    """A user of that name exists and stays unchanged."""
    REPEATED_ACCOUNT = "repeated-account"
    """An earlier account has the same name."""
    WHITE_LIST = "white-list"
    """Addresses that needed no credentials in 1.0, or a text that 1.0 refuses; mqguard has no equivalent."""
    UNREAD_FILE = "unread-file"
    """A file that this version of 1.0 does not read."""
    APACHE_READING = "apache-reading"
    """Apache's own migrator grants more than 1.0 and than mqguard."""
    UNKNOWN_PERMISSION = "unknown-permission"
    """A permission that 1.0 does not recognize and treats as DENY; mqguard keeps DENY."""
    SKIPPED_ITEM = "skipped-item"
    """An item that had no effect in 1.0, or has no equivalent in mqguard."""
    REPLACED_ITEM = "replaced-item"
    """A later item for the same resource replaced it in 1.0, and replaces it in mqguard."""
    ADMIN_WITH_PERMISSIONS = "admin-with-permissions"
    """An admin that lists permissions, which limit it in 1.0 up to 5.1.0 and are ignored from 5.1.1 on."""
    SHORT_KEY = "short-key"
    """A name or secret shorter than 1.0 requires."""


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """One message for the operator.

    Attributes:
        kind: The kind.
        file: The file.
        mark: The position in the file.
        account: The account's name, empty for the file as a whole.
        message: The fact, and what to do about it.
    """

    kind: NoteKind
    file: str
    mark: Mark
    account: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class MigrationOptions:
    """The choices of the operator.

    Attributes:
        version: The version whose brokers used the files; None if it is not known.
        white_lists_as_sources: True if the white list of an account becomes the sources of its Allow entries.
    """

    version: AclV1Version | None = None
    white_lists_as_sources: bool = False


DEFAULT_OPTIONS = MigrationOptions()

_MIN_LENGTH = 7
"""The minimum length of a name and a secret in 1.0."""

_KINDS = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER)
_MESSAGE_ACTIONS = (Action.PUB, Action.SUB)
_ADMIN_ACTIONS = (Action.CREATE, Action.UPDATE, Action.DELETE, Action.GET, Action.LIST)


class AccountUnfit(Exception):
    """An account that is not migrated.

    Attributes:
        notes: Every reason, and further notes.
        refused: True if 1.0 rejects a file with such an account, so that the account had no rights.
    """

    def __init__(self, notes: Iterable[Note], *, refused: bool) -> None:
        self.notes = tuple(notes)
        self.refused = refused
        super().__init__("; ".join(note.message for note in self.notes))


@dataclasses.dataclass(frozen=True, slots=True)
class Converted:
    """The result for one account.

    Attributes:
        account: The account.
        user: The user.
        acl: Its policies, or None.
        notes: Items that were left out, or read in an unexpected way.
        sources: The sources of its Allow entries; none means anywhere.
    """

    account: AclV1Account
    user: User
    acl: Acl | None
    notes: tuple[Note, ...]
    sources: tuple[Source, ...] = ()


def convert(account: AclV1Account, options: MigrationOptions = DEFAULT_OPTIONS) -> Converted:
    """Convert an account to a user and policies.

    Raises:
        AccountUnfit: The account cannot be migrated without a risk of additional rights.
    """
    return _Conversion(account, options).result()


def target_of(key: str) -> tuple[ResourceType, str]:
    """Return the kind and name of the resource behind a key of 1.0's table."""
    if key.startswith(RETRY_PREFIX):
        return ResourceType.GROUP, key[len(RETRY_PREFIX) :]
    return ResourceType.TOPIC, key


def _resource(key: str) -> Resource:
    kind, name = target_of(key)
    return Resource(kind, name, Pattern.LITERAL)


class _Conversion:
    def __init__(self, account: AclV1Account, options: MigrationOptions) -> None:
        self._account = account
        self._options = options
        self._rights = AclV1Permissions.of(account, options.version)
        self._notes: list[Note] = []
        self._items: dict[str, Item] = {}

    def result(self) -> Converted:
        account = self._account
        name, secret = account.access_key, account.secret
        if name is None:
            self._skip(account.mark, "the account has no `accessKey`")
        elif secret is None:
            self._skip(account.mark, f"the account `{name}` has no `secretKey`")
        white = self._white_list()
        self._read_items()
        if name is None or secret is None or self._is_skipped:
            raise AccountUnfit(self._notes, refused=True)
        sources = self._sources(name, white)
        self._check_lengths(name, secret.reveal())
        kind = UserType.SUPER if self._rights.is_unlimited and not sources else UserType.NORMAL
        user = User(name, (LiveSecret(secret),), kind)
        acl = None if kind is UserType.SUPER else _from_sources(self._acl(name), sources)
        if self._rights.is_unlimited:
            self._note_ignored_items(name, kind)
        if self._is_skipped:
            raise AccountUnfit(self._notes, refused=False)
        return Converted(account, user, acl, tuple(self._notes), sources)

    @property
    def _is_skipped(self) -> bool:
        return any(note.kind is NoteKind.SKIPPED_ACCOUNT for note in self._notes)

    def _skip(self, mark: Mark, message: str) -> None:
        self._add(mark, NoteKind.SKIPPED_ACCOUNT, message)

    def _check_lengths(self, name: str, secret: str) -> None:
        for what, text in (("name", name), ("secret", secret)):
            if len(text) < _MIN_LENGTH:
                self._add(
                    self._account.mark,
                    NoteKind.SHORT_KEY,
                    f"the {what} of `{name}` is shorter than the {_MIN_LENGTH} characters that 1.0 requires, so that "
                    "1.0 refuses its file; mqguard accepts it",
                )

    def _white_list(self) -> WhiteList | None:
        """Return the white list, or None; one that 1.0 refuses is a reason to leave the account out."""
        white = self._account.white_address
        if white is None:
            return None
        try:
            return parse_white_list(white.text)
        except WhiteListInvalid as error:
            self._skip(
                white.mark,
                f"the white list `{white.text}` is not valid in 1.0, so the account{self._called} could do nothing and "
                f"is left out: {error}",
            )
            return None

    def _sources(self, name: str, white: WhiteList | None) -> tuple[Source, ...]:
        """Note the white list, and return the sources of the Allow entries."""
        written = self._account.white_address
        if white is None or written is None:
            return ()
        as_sources = self._options.white_lists_as_sources
        if white.is_empty:
            self._note_white_list(written, f"the white list `{written.text}` of `{name}` matches no address in 1.0")
            if as_sources:
                self._skip(written.mark, f"the account `{name}` has no source, so it could do nothing: it is left out")
            return ()
        place = quoted_white_list(written.text, white)
        if not as_sources or white.everybody:
            message = (
                f"1.0 allows everything to `{name}` from {place}, without a signature; mqguard does not: the "
                "account needs its signature and its rights everywhere"
            )
            self._note_white_list(written, message)
            return ()
        message = (
            f"{place} becomes the source of all Allow entries of `{name}`, which also needs its signature there; in "
            "1.0 the account needed no signature from there, and had its rights from everywhere else, too"
        )
        self._note_white_list(written, message)
        return white.sources

    def _note_white_list(self, written: LocatedText, message: str) -> None:
        # Its position is before the items, but it is only recorded once 1.0 is known to accept the items.
        note = Note(NoteKind.WHITE_LIST, self._account.file, written.mark, self._account.access_key or "", message)
        self._notes.insert(0, note)

    @property
    def _called(self) -> str:
        return "" if self._account.access_key is None else f" `{self._account.access_key}`"

    def _read_items(self) -> None:
        for item in items_of(self._account):
            if item.key is None:
                self._skip(
                    item.mark,
                    f"`{item.source.text}` is not a permission, and 1.0 rejects a file that has it: write `name=PERM`; "
                    f"the account{self._called} is left out",
                )
                continue
            if self._rights.is_unlimited:
                continue
            if not item.known:
                self._add(item.mark, NoteKind.UNKNOWN_PERMISSION, _unknown(item.source.text))
            if item.key in self._items:
                earlier = self._items[item.key]
                self._add(
                    earlier.mark,
                    NoteKind.REPLACED_ITEM,
                    f"`{earlier.source.text}` has no effect: `{item.source.text}` in line {item.mark.line} replaces it",
                )
            self._items[item.key] = item

    def _note_ignored_items(self, name: str, kind: UserType) -> None:
        """Record that an unlimited admin lists permissions, or that it becomes Normal because of its sources."""
        becomes = "Super" if kind is UserType.SUPER else "Normal, with every permission from its sources"
        if self._rights.table is not None:
            self._add(
                self._account.mark,
                NoteKind.ADMIN_WITH_PERMISSIONS,
                f"the admin `{name}` lists permissions, which {self._rights.version} ignores: it becomes {becomes}",
            )
        if kind is UserType.NORMAL:
            self._add(
                self._account.mark,
                NoteKind.WHITE_LIST,
                f"the admin `{name}` becomes {becomes}, because policies do not limit Super users",
            )

    def _acl(self, name: str) -> Acl | None:
        if self._rights.is_unlimited:
            everything = tuple(
                Entry(Resource(kind, "", Pattern.ANY), (Action.ALL,), (), Decision.ALLOW) for kind in _KINDS
            )
            return Acl(Subject(name), (Policy(PolicyType.CUSTOM, everything),))
        for default in (self._account.topic_default, self._account.group_default):
            if default is not None and not default.is_permission:
                self._add(default.mark, NoteKind.UNKNOWN_PERMISSION, _unknown(default.text))
        usable = {key: item for key, item in self._items.items() if self._is_usable(key, item)}
        self._note_apache_defaults()
        if self._account.admin:
            version = self._options.version
            known = f"limit it in {version}" if version else "limit it in 1.0 up to 5.1.0, and not from 5.1.1 to 5.3.2"
            self._add(
                self._account.mark,
                NoteKind.ADMIN_WITH_PERMISSIONS,
                f"the admin `{name}` lists permissions, which {known}: it becomes Normal with exactly these; make it "
                "Super if it should be allowed everything, as Apache's migrator does",
            )
            return Acl(Subject(name), (Policy(PolicyType.CUSTOM, tuple(self._admin_entries(usable))),))
        both = ((PolicyType.CUSTOM, tuple(_entries(usable))), (PolicyType.DEFAULT, tuple(self._defaults())))
        policies = tuple(Policy(kind, entries) for kind, entries in both if entries)
        return Acl(Subject(name), policies) if policies else None

    def _note_apache_defaults(self) -> None:
        """Record the listed resources to which Apache's migrator also applies the default."""
        account = self._account
        if account.admin:
            # It becomes Super there, which has a note of its own.
            return
        defaults = {ResourceType.TOPIC: account.topic_default, ResourceType.GROUP: account.group_default}
        for kind, default in defaults.items():
            if default is None:
                continue
            allowed = _apache_actions(default.text, default.permission)
            named = [
                f"`{item.name}`"
                for item in self._items.values()
                if item.type is kind
                and (listed := _apache_actions(item.source.text, item.permission))
                and not allowed <= listed
            ]
            if named:
                self._add(
                    default.mark,
                    NoteKind.APACHE_READING,
                    f"Apache's migrator also applies the default `{default.text}` to {', '.join(named)}, although "
                    "listed; 1.0 and mqguard do not",
                )

    def _is_usable(self, key: str, item: Item) -> bool:
        kind, name = target_of(key)
        text = item.source.text
        if not name:
            reason = "it has no name"
        elif "*" in name:
            reason = "1.0 has no prefixes, and a name cannot contain a `*`; if you mean a prefix, write it as a policy"
        elif kind is ResourceType.GROUP and owner_of(name) is not None:
            reason = f"1.0 puts `{RETRY_PREFIX}` before it once more, so it matches no group of a client"
        elif key.startswith(DLQ_PREFIX):
            group = key[len(DLQ_PREFIX) :]
            if self._would_gain(group, item):
                return False
            reason = (
                f"a dead-letter topic belongs to its group here: each user with `Sub` on `Group:{group}` can read it"
            )
        else:
            return True
        self._add(item.mark, NoteKind.SKIPPED_ITEM, f"`{text}` is left out: {reason}")
        return False

    def _would_gain(self, group: str, item: Item) -> bool:
        """Check if the item denies dead letters to an account that could read them in mqguard, and record that."""
        if Action.SUB in item.permission or not self._rights.allows(ResourceType.GROUP, group, Action.SUB):
            return False
        self._skip(
            item.mark,
            f"`{item.source.text}` cannot be kept: a dead-letter topic belongs to its group, and the account "
            f"`{self._account.access_key}` may consume as `{group}`; it is left out",
        )
        return True

    def _defaults(self) -> Iterator[Entry]:
        account = self._account
        for kind, default in (
            (ResourceType.TOPIC, account.topic_default),
            (ResourceType.GROUP, account.group_default),
        ):
            if default is not None:
                yield _entry(Resource(kind, "", Pattern.ANY), default.permission)

    def _admin_entries(self, items: Mapping[str, Item]) -> Iterator[Entry]:
        """Yield the entries of a limited admin, all in one Custom policy: its Create and so on cover every name."""
        for key, item in items.items():
            resource = _resource(key)
            if item.permission:
                yield _entry(resource, item.permission)
            denied = tuple(action for action in _MESSAGE_ACTIONS if action not in item.permission)
            if denied:
                yield Entry(resource, denied, (), Decision.DENY)
        for kind, permission in (
            (ResourceType.TOPIC, self._rights.topic_default),
            (ResourceType.GROUP, self._rights.group_default),
        ):
            yield Entry(Resource(kind, "", Pattern.ANY), (*_ordered(permission), *_ADMIN_ACTIONS), (), Decision.ALLOW)
        yield Entry(Resource(ResourceType.CLUSTER, "", Pattern.ANY), (Action.ALL,), (), Decision.ALLOW)

    def _add(self, mark: Mark, topic: NoteKind, message: str) -> None:
        self._notes.append(Note(topic, self._account.file, mark, self._account.access_key or "", message))


def _entries(items: Mapping[str, Item]) -> Iterator[Entry]:
    for key, item in items.items():
        yield _entry(_resource(key), item.permission)


def _entry(resource: Resource, permission: Permission) -> Entry:
    if not permission:
        return Entry(resource, (Action.ALL,), (), Decision.DENY)
    return Entry(resource, _ordered(permission), (), Decision.ALLOW)


def _ordered(permission: Permission) -> tuple[Action, ...]:
    return tuple(action for action in _MESSAGE_ACTIONS if action in permission)


def _unknown(text: str) -> str:
    permission = text.rpartition("=")[2]
    apache = "" if is_blank(permission) else " (Apache's migrator makes it Allow All)"
    return f"`{text}` is not a permission of 1.0, which treats it as DENY: it stays DENY{apache}"


def _apache_actions(text: str, permission: Permission) -> frozenset[Action]:
    """Return the actions that Apache's migrator allows for a permission: none for DENY, which denies all there, too.

    Args:
        text: The permission, or the whole item.
        permission: Its meaning in 1.0.
    """
    word = trimmed(text.rpartition("=")[2])
    if permission or word in ("", "DENY"):
        return permission
    return frozenset({Action.ALL, *_MESSAGE_ACTIONS})


def quoted_white_list(text: str, white: WhiteList) -> str:
    """Return the white list as written, and the addresses that it matches if the notation is another one."""
    return f"`{text}`" if white.text == text else f"`{text}` ({white.text})"


def _from_sources(acl: Acl | None, sources: tuple[Source, ...]) -> Acl | None:
    """Limit all Allow entries to the sources. A Deny stays valid everywhere."""
    if acl is None or not sources:
        return acl
    policies = (
        Policy(policy.type, tuple(_from(entry, sources) for entry in policy.entries)) for policy in acl.policies
    )
    return Acl(acl.subject, tuple(policies))


def _from(entry: Entry, sources: tuple[Source, ...]) -> Entry:
    if entry.decision is Decision.DENY:
        return entry
    return Entry(entry.resource, entry.actions, sources, entry.decision)
