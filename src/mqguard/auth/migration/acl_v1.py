"""ACL 1.0 files as values, with the position of each.

Permissions have the meaning that 1.0 enforced (`Permission`, `PlainPermissionManager` of RocketMQ 4.x): `PUB`, `SUB`,
`PUB|SUB`, `SUB|PUB` after trimming; every other text is DENY.
"""

import dataclasses

from mqguard.auth.documents.node_reader import NodeReader
from mqguard.auth.documents.nodes import Node, Scalar, SequenceNode, compose
from mqguard.auth.documents.problems import DocumentInvalid, Mark, nearest
from mqguard.auth.policy import Action
from mqguard.auth.user import Secret
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
    """An ACL 1.0 file that cannot be read.

    Attributes:
        file: The name of the file.
    """

    def __init__(self, file: str, cause: DocumentInvalid) -> None:
        super().__init__(cause.problems)
        self.file = file
        self.args = (f"{file}:{self.args[0]}",)


def parse_acl_v1(name: str, text: str, *, unordered: bool = False) -> AclV1File:
    """Parse an ACL 1.0 file; an empty one has no accounts.

    Args:
        name: The file, for messages.
        text: Its content.
        unordered: See `AclV1File`.

    Raises:
        PlainFileInvalid: The text is not YAML, or has keys or values of another form.
    """
    try:
        root = compose(text)
        read = AclV1File(name, (), ()) if root is None else _read(name, root)
    except DocumentInvalid as error:
        raise AclV1FileInvalid(name, error) from None
    return dataclasses.replace(read, unordered=unordered)


def _read(name: str, root: Node) -> AclV1File:
    walk = NodeReader()
    found = _keys(walk, root, "the file", _FILE_KEYS)
    listed = _texts(walk, found.get("globalWhiteRemoteAddresses"), "`globalWhiteRemoteAddresses`")
    # 1.0 ignores a blank address, too.
    white = tuple(address for address in listed if not is_blank(address.text))
    accounts = found.get("accounts")
    items = walk.items(accounts, "`accounts`") if accounts is not None else ()
    read = tuple(_account(walk, name, item) for item in items)
    walk.finish()
    return AclV1File(name, white, read)


def _account(walk: NodeReader, file: str, node: Node) -> AclV1Account:
    found = _keys(walk, node, "an account", _ACCOUNT_KEYS)
    access_key = _text(walk, found, "accessKey")
    secret = _text(walk, found, "secretKey")
    return AclV1Account(
        file,
        node.mark,
        access_key.text if access_key else None,
        Secret(secret.text) if secret else None,
        _flag(walk, found.get("admin")),
        _text(walk, found, "whiteRemoteAddress"),
        _text(walk, found, "defaultTopicPerm"),
        _text(walk, found, "defaultGroupPerm"),
        _texts(walk, found.get("topicPerms"), "`topicPerms`"),
        _texts(walk, found.get("groupPerms"), "`groupPerms`"),
    )


def _keys(walk: NodeReader, node: Node, what: str, known: tuple[str, ...]) -> dict[str, Node]:
    """Return the values of known keys, without empty values, as 1.0 does."""
    found: dict[str, Node] = {}
    for key, value in walk.pairs(node, what):
        if key.text not in known:
            walk.note(key.mark, f"unknown key `{key.text}` in {what}: {nearest(key.text, known)}")
        elif not (isinstance(value, Scalar) and value.is_null):
            found[key.text] = value
    return found


def _text(walk: NodeReader, found: dict[str, Node], key: str) -> LocatedText | None:
    node = found.get(key)
    if node is None or (isinstance(node, Scalar) and is_blank(node.text)):
        return None
    text = walk.text(node, f"`{key}`")
    return None if text is None else LocatedText(node.mark, text)


def _texts(walk: NodeReader, node: Node | None, what: str) -> tuple[LocatedText, ...]:
    if node is None:
        return ()
    if not isinstance(node, SequenceNode):
        walk.note(node.mark, f"{what} must be a list of `- item` lines")
        return ()
    texts: list[LocatedText] = []
    for item in node.items:
        if isinstance(item, Scalar):
            texts.append(LocatedText(item.mark, "" if item.is_null else item.text))
        else:
            walk.note(item.mark, f"an item of {what} must be a text")
    return tuple(texts)


def _flag(walk: NodeReader, node: Node | None) -> bool:
    if node is None:
        return False
    text = node.text.lower() if isinstance(node, Scalar) else ""
    if text not in _TRUE | _FALSE:
        walk.note(node.mark, "`admin` must be true or false")
    return text in _TRUE
