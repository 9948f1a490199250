"""Conversion of one ACL 1.0 account to a user and policies that allow no more than 1.0 did, with notes.

Rule 1: an admin that lists no permissions becomes Super; any other account becomes Normal.
Rule 2: items become Custom entries, defaults become Default entries, which apply to the same resources as in 1.0.
Rule 3: an item without an exact equivalent is left out with a note if that removes rights. If that would add rights,
the whole account is left out.
"""

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping

from mqguard.auth.documents.nodes import Mark
from mqguard.auth.migration.acl_v1 import AclV1Account, AclV1Permissions, Item, Permission, items_of
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.user import LiveSecret, Subject, User, UserType
from mqguard.model.names import DLQ_PREFIX, RETRY_PREFIX, owner_of


class NoteKind(enum.StrEnum):
    """The kind of a note, as a keyword."""

    SKIPPED_ACCOUNT = "skipped-account"
    """The account is not migrated at all."""
    EXISTING_USER = "existing-user"
    """A user of that name exists and stays unchanged."""
    REPEATED_ACCOUNT = "repeated-account"
    """An earlier account has the same name."""
    WHITE_LIST = "white-list"
    """Addresses that needed no credentials in 1.0; mqguard has no equivalent."""
    UNKNOWN_PERMISSION = "unknown-permission"
    """A permission that 1.0 does not recognize and treats as DENY; mqguard keeps DENY."""
    SKIPPED_ITEM = "skipped-item"
    """An item that had no effect in 1.0, or has no equivalent in mqguard."""
    REPLACED_ITEM = "replaced-item"
    """A later item for the same resource replaced it in 1.0, and replaces it in mqguard."""
    ADMIN_WITH_PERMISSIONS = "admin-with-permissions"
    """An admin that 1.0 limited to its listed permissions; migrated as Normal with exactly these."""
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


_MIN_LENGTH = 7
"""The minimum length of a name and a secret in 1.0."""

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
    """

    account: AclV1Account
    user: User
    acl: Acl | None
    notes: tuple[Note, ...]


def convert(account: AclV1Account) -> Converted:
    """Convert an account to a user and policies.

    Raises:
        AccountUnfit: The account cannot be migrated without a risk of additional rights.
    """
    return _Conversion(account).result()


def target_of(key: str) -> tuple[ResourceType, str]:
    """Return the kind and name of the resource behind a key of 1.0's table."""
    if key.startswith(RETRY_PREFIX):
        return ResourceType.GROUP, key[len(RETRY_PREFIX) :]
    return ResourceType.TOPIC, key


def _resource(key: str) -> Resource:
    kind, name = target_of(key)
    return Resource(kind, name, Pattern.LITERAL)


class _Conversion:
    def __init__(self, account: AclV1Account) -> None:
        self._account = account
        self._rights = AclV1Permissions.of(account)
        self._notes: list[Note] = []
        self._items: dict[str, Item] = {}

    def result(self) -> Converted:
        account = self._account
        name, secret = account.access_key, account.secret
        if name is None:
            self._skip(account.mark, "the account has no `accessKey`")
        elif secret is None:
            self._skip(account.mark, f"the account `{name}` has no `secretKey`")
        self._read_items()
        if name is None or secret is None or self._is_skipped:
            raise AccountUnfit(self._notes, refused=True)
        self._note_white_list(name)
        self._check_lengths(name, secret.reveal())
        kind = UserType.SUPER if account.admin and self._rights.table is None else UserType.NORMAL
        user = User(name, (LiveSecret(secret),), kind)
        acl = None if kind is UserType.SUPER else self._acl(name)
        if self._is_skipped:
            raise AccountUnfit(self._notes, refused=False)
        return Converted(account, user, acl, tuple(self._notes))

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
                    f"the {what} of `{name}` is shorter than the {_MIN_LENGTH} characters that 1.0 requires",
                )

    def _note_white_list(self, name: str) -> None:
        white = self._account.white_address
        if white is not None:
            message = (
                f"1.0 allows everything to `{name}` from `{white.text}`, without a signature; mqguard does not: the "
                "account needs its signature and its rights everywhere"
            )
            # Its position is before the items, but it is only recorded once 1.0 is known to accept the items.
            self._notes.insert(0, Note(NoteKind.WHITE_LIST, self._account.file, white.mark, name, message))

    def _read_items(self) -> None:
        name = self._account.access_key
        called = "" if name is None else f" `{name}`"
        for item in items_of(self._account):
            if item.key is None:
                self._skip(
                    item.mark,
                    f"`{item.source.text}` is not a permission, and 1.0 rejects a file that has it: write `name=PERM`; "
                    f"the account{called} is left out",
                )
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

    def _acl(self, name: str) -> Acl | None:
        for default in (self._account.topic_default, self._account.group_default):
            if default is not None and not default.is_permission:
                self._add(default.mark, NoteKind.UNKNOWN_PERMISSION, _unknown(default.text))
        usable = {key: item for key, item in self._items.items() if self._is_usable(key, item)}
        if self._account.admin:
            self._add(
                self._account.mark,
                NoteKind.ADMIN_WITH_PERMISSIONS,
                f"the admin `{name}` lists permissions, which limit it in 1.0: it becomes Normal with exactly these; "
                "make it Super if it should be allowed everything",
            )
            return Acl(Subject(name), (Policy(PolicyType.CUSTOM, tuple(self._admin_entries(usable))),))
        both = ((PolicyType.CUSTOM, tuple(_entries(usable))), (PolicyType.DEFAULT, tuple(self._defaults())))
        policies = tuple(Policy(kind, entries) for kind, entries in both if entries)
        return Acl(Subject(name), policies) if policies else None

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
    return f"`{text}` is not a permission of 1.0, which treats it as DENY: it stays DENY"
