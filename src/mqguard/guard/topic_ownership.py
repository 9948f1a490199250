"""Topics of another resource: retry and dead-letter topics belong to a group, lite queues to their parent topic."""

# Rule 1: `%RETRY%g` and `%DLQ%g` mean Group g. Pub on such a topic becomes Sub on the group, because consumers of g
# give messages back.
# Rule 2: a retry topic that is used together with a group must be that group's own.
# Rule 3: `%LMQ%$parent$lite` means Topic parent.
# Rule 4: topics that hold messages of all other topics are read by Super users only.

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import PUB, PUB_SUB, PUB_SUB_GET, SUB, SUB_GET, Actions, RequiredPermission
from mqguard.model.names import ALL_MESSAGES, LITE_PREFIX, RETRY_PREFIX, owner_of
from mqguard.model.text import is_blank

MAX_NAME_LENGTH = 512
"""Maximum length of a name: no legal name has more than 255 characters, and peers may sign any name."""

_ON_GROUP = {PUB: SUB, PUB_SUB: SUB, PUB_SUB_GET: SUB_GET}


def missing(field: str, what: str) -> PermissionsUnclear:
    """Return the error for a request that leaves out a name."""
    return PermissionsUnclear(
        DenialReason.MISSING_FIELD, f"the {what} is missing: the field `{field}` is absent or empty"
    )


def too_many(limit: int, what: str) -> PermissionsUnclear:
    """Return the error for a request that names too much."""
    return PermissionsUnclear(DenialReason.TOO_MANY_RESOURCES, f"one request has at most {limit} {what}: split it")


def require_name(name: str | None, field: str, what: str) -> str:
    """Return the name that a request must give.

    Raises:
        PermissionsUnclear: The name is absent or blank: it would name nothing, and must not skip its check.
    """
    if name is None or is_blank(name):
        raise missing(field, what)
    return name


def given_topic(name: str | None, field: str = "topic") -> str:
    """Return the topic that a request must give; see `require_name`."""
    return require_name(name, field, "topic")


def given_group(name: str | None, field: str = "consumerGroup") -> str:
    """Return the group that a request must give; see `require_name`."""
    return require_name(name, field, "group")


def check_length(name: str) -> str:
    """Return the name if it is not too long.

    Raises:
        PermissionsUnclear: The name is too long; names that a peer invents must not fill answers and logs.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise PermissionsUnclear(DenialReason.LONG_NAME, f"a name of {len(name)} characters names nothing")
    return name


def topic_permission(topic: str, actions: Actions) -> RequiredPermission:
    """Return the permission for actions on a topic, or on the resource that the topic belongs to.

    Raises:
        PermissionsUnclear: A retry, dead-letter or lite topic has no owner, or only Super users read the topic.
    """
    if check_length(topic)[0] == "%":
        owner = owner_of(topic)
        if owner is not None:
            if is_blank(owner):
                raise PermissionsUnclear(DenialReason.OWNERLESS_TOPIC, f"the topic `{topic}` belongs to no group")
            return RequiredPermission(ResourceType.GROUP, owner, _ON_GROUP.get(actions, actions))
        if topic.startswith(LITE_PREFIX):
            return topic_permission(_parent_of(topic), actions)
    elif topic in ALL_MESSAGES and Action.SUB in actions:
        raise PermissionsUnclear(DenialReason.SUPER_ONLY, f"only a Super user may read the topic `{topic}`")
    return RequiredPermission(ResourceType.TOPIC, topic, actions)


def group_permission(group: str, actions: Actions, field: str = "group") -> RequiredPermission:
    """Return the permission for actions on a group.

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
    """Return the permissions to use a topic as a group: topic first, then group, as Apache checks them.

    Args:
        topic: The topic.
        group: The group.
        on_topic: Actions on the topic; any one is enough.
        on_group: Actions on the group; any one is enough.
        field: The field with the group, for messages.

    Raises:
        PermissionsUnclear: The topic is the retry topic of another group; or the name of the group is that of a topic.
    """
    owner = group_permission(group, on_group, field)
    if check_length(topic).startswith(RETRY_PREFIX):
        own = RETRY_PREFIX + group
        if topic == own:
            return (owner,)
        if not topic.startswith(own + "+"):
            raise foreign_retry_topic(topic, group)
        # A retry topic of pop: `%RETRY%group+topic`. A name has no `+`, so it cannot be another group's.
        return (topic_permission(_named(topic, len(own) + 1), on_topic), owner)
    return (topic_permission(topic, on_topic), owner)


def popped(
    topic: str, group: str, on_topic: Actions, on_group: Actions, field: str = "consumerGroup"
) -> tuple[RequiredPermission, ...]:
    """Return the permissions as `consumed`, for popped messages: their retry topic may have the older form.

    `%RETRY%g_t` may also be the retry topic of a group `g_t`. That is harmless here, because popped messages are found
    by the consumer group, not by the topic's name.
    """
    own = RETRY_PREFIX + check_length(group) + "_"
    if check_length(topic).startswith(own):
        return (topic_permission(_named(topic, len(own)), on_topic), group_permission(group, on_group, field))
    return consumed(topic, group, on_topic, on_group, field)


def foreign_retry_topic(topic: str, group: str) -> PermissionsUnclear:
    """Return the error for a retry topic of another group."""
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
