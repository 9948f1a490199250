"""ACL 1.0's own evaluation, as in RocketMQ 4.x (`PlainPermissionManager.validate` and `checkPerm`).

Rule 1: topics and groups share one table of permissions, a group `g` under its retry topic `%RETRY%g`. Groups are
entered first, then topics, and a later item replaces an earlier one.
Rule 2: a resource outside the table gets the account's default for topics or groups; without one, DENY.
Rule 3: an admin without a table may do everything; an admin with one is limited to it like every account.
Rule 4: creating, changing and deleting topics and groups, and changing a broker, requires an admin, nothing else.
Rule 5: reading statistics and configuration requires an account, nothing else.
White lists are evaluated before all this. They are not permissions of an account, and are reported separately.
"""

import dataclasses
from collections.abc import Mapping

from mqguard.auth.documents.problems import Mark
from mqguard.auth.migration.acl_v1 import DENY, AclV1Account, LocatedText, Permission, trimmed
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.model.names import RETRY_PREFIX, retry_topic


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


@dataclasses.dataclass(frozen=True, slots=True)
class AclV1Permissions:
    """The rights of one account in 1.0.

    Attributes:
        admin: True if it is an admin.
        table: The permissions of named resources, by 1.0's key; None if the account lists none.
        topic_default: The permission for other topics.
        group_default: The permission for other groups.
    """

    admin: bool
    table: Mapping[str, Permission] | None
    topic_default: Permission
    group_default: Permission

    @classmethod
    def of(cls, account: AclV1Account) -> "AclV1Permissions":
        """Return the rights of an account. The table excludes items that 1.0 cannot parse."""
        table = {item.key: item.permission for item in items_of(account) if item.key is not None}
        topics = account.topic_default.permission if account.topic_default else DENY
        groups = account.group_default.permission if account.group_default else DENY
        return cls(account.admin, table or None, topics, groups)

    def allows(self, kind: ResourceType, name: str, action: Action) -> bool:
        """True if 1.0 allows it to the account, from an address outside all white lists."""
        if action in (Action.GET, Action.LIST):
            return True
        if action not in (Action.PUB, Action.SUB) or kind not in (ResourceType.TOPIC, ResourceType.GROUP):
            return self.admin
        if self.table is None and self.admin:
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
