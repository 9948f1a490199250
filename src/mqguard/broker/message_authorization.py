"""What a message belongs to, for requests that reach a message by its place and not by its topic.

The guard lets such a request in on what it names and leaves to the handler to ask about what it touches.
"""

from collections.abc import Iterable

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.model import names, properties
from mqguard.model.record import Record, decode


def require_message(access: AdmittedRequest, data: bytes, action: Action) -> Record:
    """Let pass if the sender may do that to the message of a record; answers the message.

    A message that waits (for its time, for the end of its transaction) belongs to the topic that it will go to. A
    message in a retry or dead-letter topic belongs to the group and to the topic that it came from.

    Raises:
        Refused: It may not. The sender is not told what the message belongs to: whoever tries places one after another
            must not learn what topics and groups there are. The decision id leads an administrator to it.
    """
    message = decode(data)
    try:
        _require(access, message, action)
    except Refused as exc:
        told = f"User:{access.user} has no permission to access the message that is there. [decision {exc.decision_id}]"
        raise Refused(exc.code, told, exc.decision_id) from None
    return message


def require_put(access: AdmittedRequest, type: ResourceType, name: str, *, exists: bool) -> None:  # noqa: A002 - see `AdmittedRequest`
    """Let pass if the sender may create the resource, or change it where it exists.

    Ask for all resources of a request before the first is put: a request that waits for a plugin is served again.

    Raises:
        Refused: It may not.
    """
    action = Action.UPDATE if exists else Action.CREATE
    # What the guard let in is on record, so only a refusal is put there.
    if access.allows(type, name, action):
        return
    try:
        access.require(type, name, action)
    except Refused as exc:
        kind = type.value.lower()
        reason = f"{kind}[{name}] exists, and changing it" if exists else f"{kind}[{name}] is new, and creating it"
        raise Refused(exc.code, f"{reason} needs the action {action.value}: {exc.remark}", exc.decision_id) from None


def topics_of(message: Record) -> tuple[str, ...]:
    """Return the topics that a message belongs to, all of which its readers must be allowed to read.

    A retry or dead-letter topic stands for its group.
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
    """Return those topics that the sender of a request may see in its answer: it needs Get on them."""
    # Where there is no topic nothing more is touched.
    access.pending = False
    return [topic for topic in topics if access.allows(ResourceType.TOPIC, topic, Action.GET)]


def readable(access: AdmittedRequest, topic: str, records: list[bytes], *actions: Action) -> list[bytes]:
    """Return those records that the reader of a topic may have.

    These are all, except in a retry or dead-letter topic, which holds messages of many topics. A reader with rights on
    its group does not get those of topics that are closed to it.

    Args:
        access: The reader, which the guard has admitted to the topic.
        topic: The topic that is read.
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
