"""What a subject may do to a resource."""

import enum

from mqguard.auth.errors import PolicyInvalid


class Action(enum.Enum):
    """One action of ACL 2.0. `ALL` in an entry stands for every one of the others."""

    ALL = "All"
    PUB = "Pub"
    SUB = "Sub"
    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"
    GET = "Get"
    LIST = "List"

    # Members are single objects: identity is a right hash, and C code instead of Enum's Python one on the hot path.
    __hash__ = object.__hash__

    @classmethod
    def parse(cls, text: str) -> "Action":
        """Read an action by its name, in any letter case.

        Raises:
            PolicyInvalid: The name is unknown; `Any` and `Unknown` are no actions that can be granted.
        """
        found = _BY_NAME.get(text.lower()) if text.isascii() else None
        if found is None:
            raise PolicyInvalid(f"unknown action `{text}`: use one of {', '.join(a.value for a in cls)}")
        return found


_BY_NAME = {action.value.lower(): action for action in Action}
