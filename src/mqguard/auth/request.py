"""Access requests: one resource, the actions of which one is enough, and the source."""

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import Address


class AccessRequest(msgspec.Struct, frozen=True, gc=False):
    """The input of `decide`.

    Attributes:
        type: The kind of the resource; `ResourceType.ANY` is not a resource and is denied.
        name: The name of the one resource, compared exactly; an empty or blank name is denied.
        actions: The requested actions; the request is allowed if any one of them is allowed.
        address: The source, as parsed by `source.parse_address`; None matches no source range.
    """

    type: ResourceType
    name: str
    actions: frozenset[Action]
    address: Address | None = None
