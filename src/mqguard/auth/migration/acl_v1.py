"""ACL 1.0 files as values, with the position of each, and the evaluation of them by each version of 1.0.

Permissions have the meaning that 1.0 enforced (`Permission`, `PlainPermissionManager.validate` and `checkPerm`): `PUB`,
`SUB`, `PUB|SUB`, `SUB|PUB` after trimming; every other text is DENY.

Rule 1: topics and groups share one table of permissions, a group `g` under its retry topic `%RETRY%g`. Groups are
entered first, then topics, and a later item replaces an earlier one.
Rule 2: a resource outside the table gets the account's default for topics or groups; without one, DENY.
Rule 3: an admin without a table may do everything. An admin with one is limited to it up to 5.1.0, and may do
everything from 5.1.1 on.
Rule 4: creating, changing and deleting topics and groups, and changing a broker, requires an admin, nothing else.
Rule 5: reading statistics and configuration requires an account, nothing else.
Rule 6: from 4.9.4 on, every account may send to the trace topic.
Rule 7: the directory `conf/acl` is read from 4.9.3 on.
White lists are evaluated before all this. They are not permissions of an account, and are reported separately.
"""

import dataclasses
import re
from collections.abc import Mapping

from mqguard.auth.documents.node_reader import NodeReader
from mqguard.auth.documents.nodes import DocumentInvalid, Mark, Node, Scalar, SequenceNode, compose, nearest
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import Secret
from mqguard.model.names import RETRY_PREFIX, TRACE_TOPIC, retry_topic
from mqguard.model.text import is_blank

Permission = frozenset[Action]
"""The allowed actions: Pub, Sub, both, or none, which is DENY."""

_PERMISSIONS: dict[str, Permission] = {
    "PUB": frozenset({Action.PUB}),
    "SUB": frozenset({Action.SUB}),
    "PUB|SUB": frozenset({Action.PUB, Action.SUB}),
    "SUB|PUB": frozenset({Action.PUB, Action.SUB}),
    "DENY": frozenset(),
}
DENY: Permission = frozenset()

_FILE_KEYS = ("globalWhiteRemoteAddresses", "accounts", "dataVersion")
_ACCOUNT_KEYS = (
    "accessKey",
    "secretKey",
    "whiteRemoteAddress",
    "admin",
    "defaultTopicPerm",
    "defaultGroupPerm",
    "topicPerms",
    "groupPerms",
)
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


_TRIMMED = "".join(map(chr, range(ord(" ") + 1)))


def trimmed(text: str) -> str:
    """Trim the text like Java's `trim`, as 1.0 does: a no-break space at an end remains."""
    return text.strip(_TRIMMED)


@dataclasses.dataclass(frozen=True, slots=True)
class LocatedText:
    """A text and its position."""

    mark: Mark
    text: str

    @property
    def permission(self) -> Permission:
        """The text parsed as a permission of 1.0."""
        return _PERMISSIONS.get(trimmed(self.text), DENY)

    @property
    def is_permission(self) -> bool:
        """True if the text is a permission that 1.0 recognizes."""
        return trimmed(self.text) in _PERMISSIONS


@dataclasses.dataclass(frozen=True, slots=True)
class AclV1Account:
    """One account of a file.

    Attributes:
        file: The file of the account.
        mark: The position of its start.
        access_key: Its name, or None.
        secret: Its secret, or None.
        admin: True if it may administer, and do everything if it lists no permissions.
        white_address: Addresses from which 1.0 required no credentials of it.
        topic_default: The permission for topics that are not listed.
        group_default: The permission for groups that are not listed.
        topics: `name=PERM` items.
        groups: `name=PERM` items for groups.
    """

    file: str
    mark: Mark
    access_key: str | None
    secret: Secret | None
    admin: bool
    white_address: LocatedText | None
    topic_default: LocatedText | None
    group_default: LocatedText | None
    topics: tuple[LocatedText, ...]
    groups: tuple[LocatedText, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class AclV1File:
    """One file.

    Attributes:
        name: The name of the file in messages.
        white_addresses: Addresses from which 1.0 allowed everything to all clients.
        accounts: In the order of the file.
        unordered: True if 1.0 reads it in the order in which the operating system lists the directory.
    """

    name: str
    white_addresses: tuple[LocatedText, ...]
    accounts: tuple[AclV1Account, ...]
    unordered: bool = False


class AclV1FileInvalid(DocumentInvalid):
    """An ACL 1.0 file that cannot be read. The message has one line for each problem.

    Attributes:
        file: The name of the file.
    """

    def __init__(self, file: str, cause: DocumentInvalid) -> None:
        super().__init__(cause.problems)
        self.file = file
        self.args = ("\n".join(f"{file}:{problem.mark}: {problem.message}" for problem in self.problems),)


def parse_acl_v1(name: str, text: str, *, unordered: bool = False) -> AclV1File:
    """Parse an ACL 1.0 file; an empty one has no accounts.

    Args:
        name: The file, for messages.
        text: Its content.
        unordered: See `AclV1File`.

    Raises:
        AclV1FileInvalid: The text is not YAML, or has keys or values of another form.
    """
    try:
        root = compose(text)
        read = AclV1File(name, (), ()) if root is None else _read(name, root)
    except DocumentInvalid as error:
        raise AclV1FileInvalid(name, error) from None
    return dataclasses.replace(read, unordered=unordered)


def _read(name: str, root: Node) -> AclV1File:
    reader = NodeReader()
    found = _keys(reader, root, "the file", _FILE_KEYS)
    listed = _texts(reader, found.get("globalWhiteRemoteAddresses"), "`globalWhiteRemoteAddresses`")
    # 1.0 ignores a blank address, too.
    white = tuple(address for address in listed if not is_blank(address.text))
    accounts = found.get("accounts")
    items = reader.items(accounts, "`accounts`") if accounts is not None else ()
    read = tuple(_account(reader, name, item) for item in items)
    reader.finish()
    return AclV1File(name, white, read)


def _account(reader: NodeReader, file: str, node: Node) -> AclV1Account:
    found = _keys(reader, node, "an account", _ACCOUNT_KEYS)
    access_key = _text(reader, found, "accessKey")
    secret = _text(reader, found, "secretKey")
    return AclV1Account(
        file,
        node.mark,
        access_key.text if access_key else None,
        Secret(secret.text) if secret else None,
        _flag(reader, found.get("admin")),
        _text(reader, found, "whiteRemoteAddress"),
        _text(reader, found, "defaultTopicPerm"),
        _text(reader, found, "defaultGroupPerm"),
        _texts(reader, found.get("topicPerms"), "`topicPerms`"),
        _texts(reader, found.get("groupPerms"), "`groupPerms`"),
    )


def _keys(reader: NodeReader, node: Node, what: str, known: tuple[str, ...]) -> dict[str, Node]:
    """Return the values of known keys, without empty values, as 1.0 does."""
    found: dict[str, Node] = {}
    for key, value in reader.pairs(node, what):
        if key.text not in known:
            reader.note(key.mark, f"unknown key `{key.text}` in {what}: {nearest(key.text, known)}")
        elif not (isinstance(value, Scalar) and value.is_null):
            found[key.text] = value
    return found


def _text(reader: NodeReader, found: dict[str, Node], key: str) -> LocatedText | None:
    node = found.get(key)
    if node is None or (isinstance(node, Scalar) and is_blank(node.text)):
        return None
    text = reader.text(node, f"`{key}`")
    return None if text is None else LocatedText(node.mark, text)


def _texts(reader: NodeReader, node: Node | None, what: str) -> tuple[LocatedText, ...]:
    if node is None:
        return ()
    if not isinstance(node, SequenceNode):
        reader.note(node.mark, f"{what} must be a list of `- item` lines")
        return ()
    texts: list[LocatedText] = []
    for item in node.items:
        if isinstance(item, Scalar):
            texts.append(LocatedText(item.mark, "" if item.is_null else item.text))
        else:
            reader.note(item.mark, f"an item of {what} must be a text")
    return tuple(texts)


def _flag(reader: NodeReader, node: Node | None) -> bool:
    if node is None:
        return False
    text = node.text.lower() if isinstance(node, Scalar) else ""
    if text not in _TRUE | _FALSE:
        reader.note(node.mark, "`admin` must be true or false")
    return text in _TRUE


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One `name=PERM` item.

    Attributes:
        source: The text and its position.
        type: Topic or Group, by the list that contains the item.
        key: The name in 1.0's table; None if 1.0 cannot parse the item and rejects the whole file.
        name: The name as written.
        permission: The allowed actions.
        known: True if 1.0 recognizes the permission.
    """

    source: LocatedText
    type: ResourceType
    key: str | None
    name: str
    permission: Permission
    known: bool

    @property
    def mark(self) -> Mark:
        """The position of the item."""
        return self.source.mark


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class AclV1Version:
    """A version of RocketMQ whose brokers enforce ACL 1.0."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "AclV1Version":
        """Parse a version such as `4.9.8`.

        Raises:
            PolicyInvalid: It is not a version, or its rules are not known.
        """
        form = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})", text, re.ASCII)
        found = cls(*map(int, form.groups())) if form else None
        if found is None or not FIRST_VERSION <= found <= LAST_VERSION:
            raise PolicyInvalid(
                f"`{text}` is not a version of RocketMQ whose ACL 1.0 is known: give the version of the brokers that "
                f"used these files, from {FIRST_VERSION} to {LAST_VERSION}, or leave it out to see the differences "
                "between versions"
            )
        return found

    @property
    def limits_admins(self) -> bool:
        """True if an admin that lists permissions is limited to them."""
        return self < AclV1Version(5, 1, 1)

    @property
    def traces_are_free(self) -> bool:
        """True if every account may send to the trace topic."""
        return self >= AclV1Version(4, 9, 4)

    @property
    def reads_directory(self) -> bool:
        """True if the files in `conf/acl` are read."""
        return self >= AclV1Version(4, 9, 3)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST_VERSION = AclV1Version(4, 6, 0)
LAST_VERSION = AclV1Version(5, 3, 2)

RANGES = (
    (FIRST_VERSION, AclV1Version(4, 9, 3)),
    (AclV1Version(4, 9, 4), AclV1Version(5, 1, 0)),
    (AclV1Version(5, 1, 1), LAST_VERSION),
)
"""The first and last versions of each range in which decisions are the same."""

_TRACE = (ResourceType.TOPIC, TRACE_TOPIC, Action.PUB)


@dataclasses.dataclass(frozen=True, slots=True)
class AclV1Permissions:
    """The rights of one account in 1.0.

    Attributes:
        admin: True if it is an admin.
        table: The permissions of named resources, by 1.0's key; None if the account lists none.
        topic_default: The permission for other topics.
        group_default: The permission for other groups.
        version: The version that decides.
    """

    admin: bool
    table: Mapping[str, Permission] | None
    topic_default: Permission
    group_default: Permission
    version: "AclV1Version"

    @classmethod
    def of(cls, account: AclV1Account, version: "AclV1Version | None" = None) -> "AclV1Permissions":
        """Return the rights of an account. The table excludes items that 1.0 cannot parse.

        Args:
            account: The account.
            version: The version of 1.0; without one, the oldest, which allows least.
        """
        table = {item.key: item.permission for item in items_of(account) if item.key is not None}
        topics = account.topic_default.permission if account.topic_default else DENY
        groups = account.group_default.permission if account.group_default else DENY
        return cls(account.admin, table or None, topics, groups, version or FIRST_VERSION)

    @property
    def is_unlimited(self) -> bool:
        """True if the account may do everything."""
        return self.admin and (self.table is None or not self.version.limits_admins)

    def allows(self, kind: ResourceType, name: str, action: Action) -> bool:
        """True if 1.0 allows it to the account, from an address outside all white lists."""
        if action in (Action.GET, Action.LIST):
            return True
        if action not in (Action.PUB, Action.SUB) or kind not in (ResourceType.TOPIC, ResourceType.GROUP):
            return self.admin
        if self.is_unlimited or (self.version.traces_are_free and (kind, name, action) == _TRACE):
            return True
        key = retry_topic(name) if kind is ResourceType.GROUP else name
        default = self.group_default if key.startswith(RETRY_PREFIX) else self.topic_default
        return action in (self.table or {}).get(key, default)


def items_of(account: AclV1Account) -> tuple[Item, ...]:
    """Return the items of an account in the order in which 1.0 enters them."""
    groups = (_item(source, ResourceType.GROUP) for source in account.groups)
    topics = (_item(source, ResourceType.TOPIC) for source in account.topics)
    return (*groups, *topics)


def _item(source: LocatedText, kind: ResourceType) -> Item:
    # 1.0 splits like StringUtils.split: adjacent separators count as one.
    pieces = [piece for piece in source.text.split("=") if piece]
    name = trimmed(pieces[0]) if pieces else ""
    if len(pieces) != 2:
        return Item(source, kind, None, name, DENY, known=False)
    right = LocatedText(source.mark, pieces[1])
    key = retry_topic(name) if kind is ResourceType.GROUP else name
    return Item(source, kind, key, name, right.permission, right.is_permission)
