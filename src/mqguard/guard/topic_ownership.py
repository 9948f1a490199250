"""Topics that belong to something else: retry and dead-letter topics to a group, lite queues to their parent topic.

Rule 1: `%RETRY%g` and `%DLQ%g` stand for Group g. What would be Pub on such a topic is Sub on the group: whoever
consumes as g gives messages back.
Rule 2: a retry topic that is used together with a group must be that group's own.
Rule 3: `%LMQ%$parent$lite` stands for Topic parent.
Rule 4: topics that hold messages of all other topics are read by Super users only.
"""

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import PUB, PUB_SUB, PUB_SUB_GET, SUB, SUB_GET, Actions, RequiredPermission
from mqguard.model.names import ALL_MESSAGES, RETRY_PREFIX, owner_of
from mqguard.model.text import is_blank

LITE_PREFIX = "%LMQ%$"

LONGEST_NAME = 512
"""Longest names that are looked at: no legal name has more than 255 characters, and peers sign whatever they like."""

_ON_GROUP = {PUB: SUB, PUB_SUB: SUB, PUB_SUB_GET: SUB_GET}


def missing(field: str, what: str) -> PermissionsUnclear:
    """The refusal of a request that leaves out a name."""
    return PermissionsUnclear(
        DenialReason.MISSING_FIELD, f"the {what} is missing: the field `{field}` is absent or empty"
    )


def too_many(most: int, what: str) -> PermissionsUnclear:
    """Return the refusal of a request that names more than one request may."""
    return PermissionsUnclear(DenialReason.TOO_MANY_RESOURCES, f"one request has at most {most} {what}: split it")


def require_name(name: str | None, field: str, what: str) -> str:
    """The name that a request must give.

    Raises:
        PermissionsUnclear: It is absent or blank: it would name nothing, and must not skip its check.
    """
    if name is None or is_blank(name):
        raise missing(field, what)
    return name


def given_topic(name: str | None, field: str = "topic") -> str:
    """The topic that a request must give; see `require_name`."""
    return require_name(name, field, "topic")


def given_group(name: str | None, field: str = "consumerGroup") -> str:
    """The group that a request must give; see `require_name`."""
    return require_name(name, field, "group")


def check_length(name: str) -> str:
    """The name, if it is no longer than any that could be meant.

    Raises:
        PermissionsUnclear: It is; what a peer makes up must not fill answers and logs.
    """
    if len(name) > LONGEST_NAME:
        raise PermissionsUnclear(DenialReason.LONG_NAME, f"a name of {len(name)} characters names nothing")
    return name


def topic_need(topic: str, actions: Actions) -> RequiredPermission:
    """What is needed to do that to a topic, or to what the topic belongs to.

    Raises:
        PermissionsUnclear: A retry, dead-letter or lite topic of nobody, or a topic that only Super users read.
    """
    if check_length(topic)[0] == "%":
        owner = owner_of(topic)
        if owner is not None:
            if is_blank(owner):
                raise PermissionsUnclear(DenialReason.OWNERLESS_TOPIC, f"the topic `{topic}` belongs to no group")
            return RequiredPermission(ResourceType.GROUP, owner, _ON_GROUP.get(actions, actions))
        if topic.startswith(LITE_PREFIX):
            return topic_need(_parent_of(topic), actions)
    elif topic in ALL_MESSAGES and Action.SUB in actions:
        raise PermissionsUnclear(DenialReason.SUPER_ONLY, f"only a Super user may read the topic `{topic}`")
    return RequiredPermission(ResourceType.TOPIC, topic, actions)


def group_need(group: str, actions: Actions, field: str = "group") -> RequiredPermission:
    """What is needed to do that to a group.

    Raises:
        PermissionsUnclear: The name is that of a retry or dead-letter topic.
    """
    if check_length(group)[0] == "%" and owner_of(group) is not None:
        raise PermissionsUnclear(
            DenialReason.TOPIC_FOR_GROUP, f"`{group}` in the field `{field}` is the name of a topic, not of a group"
        )
    return RequiredPermission(ResourceType.GROUP, group, actions)


def consumed(
    topic: str, group: str, on_topic: Actions, on_group: Actions, field: str = "consumerGroup"
) -> tuple[RequiredPermission, ...]:
    """What is needed to use a topic as a group: topic first, then group, as Apache checks them.

    Args:
        topic: The topic.
        group: The group.
        on_topic: What is done to the topic; any one suffices.
        on_group: What is done to the group; any one suffices.
        field: Where the group stands, for refusals.

    Raises:
        PermissionsUnclear: The topic is the retry topic of another group; or the group is named by one of its topics.
    """
    owner = group_need(group, on_group, field)
    if check_length(topic).startswith(RETRY_PREFIX):
        own = RETRY_PREFIX + group
        if topic == own:
            return (owner,)
        if not topic.startswith(own + "+"):
            raise foreign_retry_topic(topic, group)
        # A retry topic of pop: `%RETRY%group+topic`. `+` is no letter of a name, so this can be no other group's.
        return (topic_need(_named(topic, len(own) + 1), on_topic), owner)
    return (topic_need(topic, on_topic), owner)


def popped(
    topic: str, group: str, on_topic: Actions, on_group: Actions, field: str = "consumerGroup"
) -> tuple[RequiredPermission, ...]:
    """As `consumed`, for requests about messages that were popped: their retry topic may be named in the older form.

    `%RETRY%g_t` may also be the retry topic of a group `g_t`; that is harmless here, as what was popped is found by
    the consumer group, not by the topic's name.
    """
    own = RETRY_PREFIX + check_length(group) + "_"
    if check_length(topic).startswith(own):
        return (topic_need(_named(topic, len(own)), on_topic), group_need(group, on_group, field))
    return consumed(topic, group, on_topic, on_group, field)


def foreign_retry_topic(topic: str, group: str) -> PermissionsUnclear:
    """The refusal of a retry topic that is another group's."""
    return PermissionsUnclear(
        DenialReason.FOREIGN_RETRY_TOPIC, f"the topic `{topic}` is not the retry topic of the group `{group}`"
    )


def _named(topic: str, start: int) -> str:
    name = topic[start:]
    if is_blank(name):
        raise PermissionsUnclear(DenialReason.OWNERLESS_TOPIC, f"the retry topic `{topic}` names no topic")
    return name


def _parent_of(topic: str) -> str:
    parent, mark, lite = topic.removeprefix(LITE_PREFIX).partition("$")
    if not mark or is_blank(parent) or is_blank(lite):
        raise PermissionsUnclear(DenialReason.OWNERLESS_TOPIC, f"the lite topic `{topic}` belongs to no parent topic")
    return parent
