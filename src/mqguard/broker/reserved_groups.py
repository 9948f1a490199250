"""Groups that are no consumer groups: the broker keeps its own positions under their names."""

from mqguard.dispatch.request import RequestRefused
from mqguard.engine.delay import DELAY_GROUP
from mqguard.remoting.codes import ResponseCode

RESERVED_GROUPS = frozenset({DELAY_GROUP})


def refuse_reserved(group: str) -> None:
    """Let nobody move the broker's own positions, whatever its rights.

    Raises:
        RequestRefused: The group is one of them.
    """
    if group in RESERVED_GROUPS:
        raise RequestRefused(
            ResponseCode.NO_PERMISSION, f"the group `{group}` is the broker's own and takes no changes"
        )
