"""What is asked of a decision: one resource, the actions of which one suffices, and where the request comes from."""

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import Address


class AccessRequest(msgspec.Struct, frozen=True, gc=False):
    """One question to `decide`.

    Attributes:
        type: The kind of the resource; `ResourceType.ANY` is no resource and is refused.
        name: The name of the one resource, compared as it is; an empty or blank name is refused.
        actions: What would be done; the request is allowed when any one of these is allowed by itself.
        address: Where the request comes from, as `source.parse_address` reads it; None matches no source range.
    """

    type: ResourceType
    name: str
    actions: frozenset[Action]
    address: Address | None = None
