"""The permissions that a request needs."""

from collections.abc import Iterator

import msgspec

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType

Actions = frozenset[Action]

PUB = frozenset({Action.PUB})
SUB = frozenset({Action.SUB})
CREATE = frozenset({Action.CREATE})
UPDATE = frozenset({Action.UPDATE})
DELETE = frozenset({Action.DELETE})
GET = frozenset({Action.GET})
SUB_GET = frozenset({Action.SUB, Action.GET})
SUB_UPDATE = frozenset({Action.SUB, Action.UPDATE})
PUB_SUB = frozenset({Action.PUB, Action.SUB})
PUB_SUB_GET = frozenset({Action.PUB, Action.SUB, Action.GET})
CREATE_UPDATE = frozenset({Action.CREATE, Action.UPDATE})
GET_LIST = frozenset({Action.GET, Action.LIST})


class RequiredPermission(msgspec.Struct, frozen=True, gc=False):
    """One resource that a request touches, and the actions on it.

    Attributes:
        type: The type of the resource.
        name: The name of the resource, never a pattern.
        actions: The actions; any one of them is enough.
    """

    type: ResourceType
    name: str
    actions: frozenset[Action]

    @property
    def key(self) -> str:
        """The resource as policies write it, such as `Topic:orders`."""
        return f"{self.type.value}:{self.name}"

    @property
    def text(self) -> str:
        """The permission as text, such as `Sub or Get on Topic:orders`."""
        return f"{' or '.join(action_names(self))} on {self.key}"


RequiredPermissions = tuple[RequiredPermission, ...]

PermissionsFound = RequiredPermissions | Iterator[RequiredPermission]
"""All permissions of a request at once, or one after the other for a request whose body names the resources."""

_ORDER = {action: position for position, action in enumerate(Action)}


def action_names(permission: RequiredPermission) -> list[str]:
    """Return the names of a permission's actions, always in the same order."""
    return [action.value for action in sorted(permission.actions, key=_ORDER.__getitem__)]
