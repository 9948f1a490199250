"""Topics that a group may not read although its users may: a switch of operators, not a right.

It is kept in the group's attributes, under a name that is never shown.
"""

import msgspec

from mqguard.model.group import SubscriptionGroupConfig

FORBIDDEN = "mqguard.forbidden.topics"


def is_forbidden(group: SubscriptionGroupConfig, topic: str) -> bool:
    """Whether the group may not read the topic."""
    attributes = group.attributes
    return bool(attributes) and topic in attributes.get(FORBIDDEN, "").split(";")


def with_forbidden(group: SubscriptionGroupConfig, topic: str, *, forbidden: bool) -> SubscriptionGroupConfig:
    """The group with the switch of one topic set."""
    topics = {name for name in group.attributes.get(FORBIDDEN, "").split(";") if name}
    (topics.add if forbidden else topics.discard)(topic)
    attributes = {name: value for name, value in group.attributes.items() if name != FORBIDDEN}
    if topics:
        attributes[FORBIDDEN] = ";".join(sorted(topics))
    return msgspec.structs.replace(group, attributes=attributes)
