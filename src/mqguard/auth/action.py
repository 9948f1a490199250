"""Actions on a resource."""

import enum

from mqguard.auth.errors import PolicyInvalid


class Action(enum.Enum):
    """One action of ACL 2.0. `ALL` in an entry matches every other action."""

    ALL = "All"
    PUB = "Pub"
    SUB = "Sub"
    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"
    GET = "Get"
    LIST = "List"

    # Members are single objects, so identity is a correct hash, and runs in C instead of Enum's Python on the hot path.
    __hash__ = object.__hash__

    @classmethod
    def parse(cls, text: str) -> "Action":
        """Parse an action by its name, in any letter case.

        Raises:
            PolicyInvalid: The name is unknown; `Any` and `Unknown` cannot be granted.
        """
        found = _BY_NAME.get(text.lower()) if text.isascii() else None
        if found is None:
            raise PolicyInvalid(f"unknown action `{text}`: write one of {', '.join(a.value for a in cls)}")
        return found


_BY_NAME = {action.value.lower(): action for action in Action}
