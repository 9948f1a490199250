"""Rules for consumer groups: reserved names and forbidden topics."""

import msgspec

from mqguard.dispatch.request import RequestRefused
from mqguard.engine.deferred_delivery import DELAY_GROUP
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.remoting.codes import ResponseCode

RESERVED_GROUPS = frozenset({DELAY_GROUP})


def refuse_reserved(group: str) -> None:
    """Refuse changes of the broker's own groups, whatever the sender's rights.

    Raises:
        RequestRefused: The group is reserved.
    """
    if group in RESERVED_GROUPS:
        raise RequestRefused(
            ResponseCode.NO_PERMISSION, f"the group `{group}` is reserved for the broker: use another name"
        )


FORBIDDEN = "mqguard.forbidden.topics"


def is_forbidden(group: SubscriptionGroupConfig, topic: str) -> bool:
    """True if the group may not read the topic."""
    attributes = group.attributes
    return bool(attributes) and topic in attributes.get(FORBIDDEN, "").split(";")


def with_forbidden(group: SubscriptionGroupConfig, topic: str, *, forbidden: bool) -> SubscriptionGroupConfig:
    """Return the group with one topic forbidden or permitted."""
    topics = {name for name in group.attributes.get(FORBIDDEN, "").split(";") if name}
    (topics.add if forbidden else topics.discard)(topic)
    attributes = {name: value for name, value in group.attributes.items() if name != FORBIDDEN}
    if topics:
        attributes[FORBIDDEN] = ";".join(sorted(topics))
    return msgspec.structs.replace(group, attributes=attributes)
