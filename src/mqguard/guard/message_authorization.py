"""Authorization for single messages, for requests that name a position or an id instead of a topic.

The guard admits such a request by what it names. The handler must check the permissions on the message that it finds.
"""

from collections.abc import Iterable

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.model import names, properties
from mqguard.model.record import Record, decode


def require_message(access: AdmittedRequest, data: bytes, action: Action) -> Record:
    """Return the message of a record if the sender has the permission for an action on it.

    A delayed message, or one of an open transaction, belongs to the topic to which it will be delivered. A message in a
    retry or dead-letter topic belongs to the group and to its original topic.

    Raises:
        Refused: The sender has no permission. The remark does not name topic and group, so that a client that tries
            positions one by one learns no names. An administrator finds them with the decision id.
    """
    message = decode(data)
    try:
        _require(access, message, action)
    except Refused as exc:
        remark = f"User:{access.user} has no permission on the message at this position. [decision {exc.decision_id}]"
        raise Refused(exc.reason, remark, exc.decision_id) from None
    return message


def is_permitted(access: AdmittedRequest, topic: str, action: Action) -> bool:
    """Return True if the sender has a permission on a topic; the decision is audited.

    It is for objects whose existence is a secret: the answer for a denial is that of an object that does not exist.
    """
    try:
        access.require(ResourceType.TOPIC, topic, action)
    except Refused:
        return False
    return True


def require_put(access: AdmittedRequest, type: ResourceType, name: str, *, exists: bool) -> None:  # noqa: A002 - see `AdmittedRequest`
    """Check that the sender may create the resource, or update it if it exists.

    A handler must check all resources of a request before it changes the first one. If a check needs a plugin, the
    handler runs again from its beginning.

    Raises:
        Refused: The sender has no permission.
    """
    action = Action.UPDATE if exists else Action.CREATE
    # The guard has audited the admitted request, so only a denial is audited here.
    if access.allows(type, name, action):
        return
    try:
        access.require(type, name, action)
    except Refused as exc:
        kind = type.value.lower()
        reason = f"{kind}[{name}] exists, and changing it" if exists else f"{kind}[{name}] is new, and creating it"
        raise Refused(exc.reason, f"{reason} needs the action {action.value}: {exc.message}", exc.decision_id) from None


def topics_of(message: Record) -> tuple[str, ...]:
    """Return the topics of a message. A reader needs permissions on all of them.

    For a retry or dead-letter topic, the permission is that on its group.
    """
    pairs = properties.parse(message.properties.decode(errors="replace"))
    topic = (
        pairs.get(properties.REAL_TOPIC) or message.topic if message.topic in names.UNWRITABLE_TOPICS else message.topic
    )
    origin = pairs.get(properties.RETRY_TOPIC)
    return (topic,) if names.owner_of(topic) is None or origin is None else (topic, origin)


def _require(access: AdmittedRequest, message: Record, action: Action) -> None:
    topic, *origin = topics_of(message)
    owner = names.owner_of(topic)
    if owner is None:
        access.require(ResourceType.TOPIC, topic, action)
    else:
        access.require(ResourceType.GROUP, owner, action)
    for one in origin:
        access.require(ResourceType.TOPIC, one, action)


def visible_topics(access: AdmittedRequest, topics: Iterable[str]) -> list[str]:
    """Return the topics that may be in the answer of a request: those on which the sender has Get."""
    # Without a topic there is nothing more to check.
    access.pending = False
    return [topic for topic in topics if access.allows(ResourceType.TOPIC, topic, Action.GET)]


def readable(access: AdmittedRequest, topic: str, records: list[bytes], *actions: Action) -> list[bytes]:
    """Return the records that a reader of a topic may get.

    It may get all, except in a retry or dead-letter topic, which has messages of many topics. A reader with rights on
    the group gets only the messages of topics on which it has a permission.

    Args:
        access: The request, which the guard has admitted for the topic.
        topic: The topic.
        records: Records of the topic.
        actions: Actions of which the reader needs one on the original topic.
    """
    if names.owner_of(topic) is None:
        return records
    allowed: dict[str, bool] = {}
    kept = []
    for data in records:
        pairs = properties.parse(decode(data).properties.decode(errors="replace"))
        origin = pairs.get(properties.RETRY_TOPIC)
        if origin is None:
            kept.append(data)
            continue
        if origin not in allowed:
            allowed[origin] = access.allows(ResourceType.TOPIC, origin, *actions)
        if allowed[origin]:
            kept.append(data)
    return kept
