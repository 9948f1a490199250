"""ACL 1.0's own evaluation, from what RocketMQ 4.x does (`PlainPermissionManager.validate` and `checkPerm`).

Rule 1: topics and groups share one table of permissions, a group `g` under its retry topic `%RETRY%g`; groups are
entered first, then topics, and a later item replaces an earlier one.
Rule 2: a resource that is not in the table gets the account's default for topics or groups; without one, DENY.
Rule 3: an admin without any table may do everything; an admin with one is judged by it like everybody.
Rule 4: creating, changing and deleting topics and groups, and changing a broker, asks for an admin and nothing else.
Rule 5: reading statistics and configuration asks for an account and for nothing else.
White lists come before all this and are no permissions of an account; they are reported apart.
"""

import dataclasses
from collections.abc import Mapping

from mqguard.auth.action import Action
from mqguard.auth.documents.problems import Mark
from mqguard.auth.migration.plain import DENY, Permission, PlainAccount, PlainText, trimmed
from mqguard.auth.resource import ResourceType
from mqguard.model.names import RETRY_PREFIX, retry_topic


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One `name=PERM` item.

    Attributes:
        source: The text and its place.
        type: Topic or Group, by the list it stands in.
        key: The name in 1.0's table; None when 1.0 cannot read the item and refuses the whole file.
        name: The name as written.
        permission: What it allows.
        known: Whether the permission is one that 1.0 knows.
    """

    source: PlainText
    type: ResourceType
    key: str | None
    name: str
    permission: Permission
    known: bool

    @property
    def mark(self) -> Mark:
        """Where it stands."""
        return self.source.mark


@dataclasses.dataclass(frozen=True, slots=True)
class PlainRights:
    """What 1.0 lets one account do.

    Attributes:
        admin: Whether it is an admin.
        table: The permissions of named resources, by 1.0's key; None when the account lists none.
        topic_default: The permission for other topics.
        group_default: The permission for other groups.
    """

    admin: bool
    table: Mapping[str, Permission] | None
    topic_default: Permission
    group_default: Permission

    @classmethod
    def of(cls, account: PlainAccount) -> "PlainRights":
        """The rights of an account. Items that 1.0 cannot read are not in the table."""
        table = {item.key: item.permission for item in items_of(account) if item.key is not None}
        topics = account.topic_default.permission if account.topic_default else DENY
        groups = account.group_default.permission if account.group_default else DENY
        return cls(account.admin, table or None, topics, groups)

    def allows(self, kind: ResourceType, name: str, action: Action) -> bool:
        """Whether 1.0 lets the account do that, from an address that is in no white list."""
        if action in (Action.GET, Action.LIST):
            return True
        if action not in (Action.PUB, Action.SUB) or kind not in (ResourceType.TOPIC, ResourceType.GROUP):
            return self.admin
        if self.table is None and self.admin:
            return True
        key = retry_topic(name) if kind is ResourceType.GROUP else name
        default = self.group_default if key.startswith(RETRY_PREFIX) else self.topic_default
        return action in (self.table or {}).get(key, default)


def items_of(account: PlainAccount) -> tuple[Item, ...]:
    """The items of an account in the order in which 1.0 enters them."""
    groups = (_item(source, ResourceType.GROUP) for source in account.groups)
    topics = (_item(source, ResourceType.TOPIC) for source in account.topics)
    return (*groups, *topics)


def _item(source: PlainText, kind: ResourceType) -> Item:
    # 1.0 splits as StringUtils.split does: signs that stand together count as one.
    pieces = [piece for piece in source.text.split("=") if piece]
    name = trimmed(pieces[0]) if pieces else ""
    if len(pieces) != 2:
        return Item(source, kind, None, name, DENY, known=False)
    right = PlainText(source.mark, pieces[1])
    key = retry_topic(name) if kind is ResourceType.GROUP else name
    return Item(source, kind, key, name, right.permission, right.is_permission)
