"""Requests about messages: send, pull, query, send back, transactions, replies."""

from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import (
    GET,
    PUB,
    SUB,
    SUB_GET,
    SUB_UPDATE,
    UPDATE,
    Actions,
    RequiredPermission,
    RequiredPermissions,
)
from mqguard.guard.requirements.row import (
    MAX_CACHED_NAME,
    BoundedCache,
    Requirement,
    Rule,
    WhenAbsent,
    group,
    internal,
    topic,
)
from mqguard.guard.topic_ownership import check_length, consumed, given_group, given_topic, topic_permission
from mqguard.model import properties
from mqguard.model.names import owner_of
from mqguard.model.text import is_blank
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

HALF_TOPICS = frozenset({"RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC"})
"""The topics in which half messages wait for the end of their transaction."""

REPLY_SUFFIX = "_REPLY_TOPIC"
"""Replies travel through one topic per cluster, `<cluster>_REPLY_TOPIC`."""


def send(field: str, properties_field: str) -> Rule:
    """Return the rule of a send whose topic and properties are the values of these fields.

    The producer group is not a resource and does not decide who may write to a retry topic. Clients give messages back
    to `%RETRY%g` with the group of their inner producer. Consumers of group g take such a message for one of the
    topic in its property RETRY_TOPIC. So the sender needs Sub on that topic as well.
    """
    known: BoundedCache[str | None, RequiredPermissions] = BoundedCache()

    def permissions(command: Command) -> RequiredPermissions:
        name = command.ext.get(field)
        found = known.get(name)
        if found is not None:
            return found
        name = given_topic(name, field)
        found = (topic_permission(name, PUB),)
        if owner_of(name) is not None:
            return (*found, _origin(name, command.ext.get(properties_field)))
        if len(name) <= MAX_CACHED_NAME:
            known.put(name, found)
        return found

    return permissions


def _origin(name: str, text: str | None) -> RequiredPermission:
    """Return the permission that is required for what a message claims to be, which is sent to a retry topic."""
    origin = properties.parse(text or "").get(properties.RETRY_TOPIC)
    if origin is None or is_blank(origin):
        raise PermissionsUnclear(
            DenialReason.MISSING_ORIGIN,
            f"a message for `{name}` must name the topic that it came from in its property {properties.RETRY_TOPIC}",
        )
    return topic_permission(origin, SUB)


def as_group(actions: Actions) -> Rule:
    """Return the rule of using a topic as a group: the same actions on both; a retry topic must be the group's own."""
    known: BoundedCache[tuple[str | None, str | None], RequiredPermissions] = BoundedCache()

    def permissions(command: Command) -> RequiredPermissions:
        ext = command.ext
        name, consumers = pair = (ext.get("topic"), ext.get("consumerGroup"))
        found = known.get(pair)
        if found is not None:
            return found
        name = given_topic(name)
        consumers = given_group(consumers)
        found = consumed(name, consumers, actions, actions)
        if len(name) <= MAX_CACHED_NAME and len(consumers) <= MAX_CACHED_NAME:
            known.put(pair, found)
        return found

    return permissions


def reply(field: str) -> Rule:
    """Return the rule of a reply with its topic in `field`: Pub on the topic, which must be one for replies."""

    def permissions(command: Command) -> RequiredPermissions:
        name = given_topic(command.ext.get(field), field)
        if not check_length(name).endswith(REPLY_SUFFIX):
            raise PermissionsUnclear(
                DenialReason.NO_REPLY_TOPIC,
                f"the topic `{name}` is not for replies: its name must end in {REPLY_SUFFIX}",
            )
        return (topic_permission(name, PUB),)

    return permissions


def end_transaction(command: Command) -> RequiredPermissions:
    """Require Pub on the topic, if there is one; the handler checks the half message that it finds.

    Clients up to 4.9 and Go clients name no topic. A client that answers a check repeats the topic of the check. For a
    check of an Apache broker, this is the store of half messages.
    """
    name = command.ext.get("topic")
    if name is None or is_blank(name) or name in HALF_TOPICS:
        return ()
    return (topic_permission(name, PUB),)


_SEND_RULE = "Topic: Pub; on `%RETRY%g` and `%DLQ%g` instead Group `g`: Sub, Topic in the property RETRY_TOPIC: Sub"
_SEND_DIFFERENCE = (
    "a dead-letter topic belongs to its group; consumers take what is sent to a retry topic for a message of the topic "
    "in RETRY_TOPIC, which Apache does not look at; sending to the trace topic needs no grant unless a policy "
    "denies it (`traceTopicOpen`)"
)
_BROKER_DIFFERENCE = "only a broker sends it, so no right of a client covers it"
_AS_GROUP_DIFFERENCE = (
    "`%RETRY%g` only as group `g`; `%DLQ%g` needs Group `g` as well as the group that reads; topics that hold "
    "messages of all topics are read by Super users only"
)


def _sending(field: str, properties_field: str) -> Requirement:
    return Requirement(
        rule=send(field, properties_field),
        description=f"{_SEND_RULE} (field `{field}`)",
        apache_difference=_SEND_DIFFERENCE,
    )


_READ_FROM_RETRY = (
    "; from `%RETRY%g` and `%DLQ%g` only those messages are given out on whose original topic the reader has {}"
)


def _consuming(actions: Actions, words: str, difference: str = _AS_GROUP_DIFFERENCE, more: str = "") -> Requirement:
    return Requirement(
        rule=as_group(actions),
        description=f"Topic (`topic`): {words}; Group (`consumerGroup`): {words}{more}",
        apache_difference=difference,
    )


def _replying(field: str) -> Requirement:
    return Requirement(
        rule=reply(field),
        description=(
            f"Topic: Pub (field `{field}`), which on `<cluster>{REPLY_SUFFIX}` needs no grant unless a policy denies "
            "it; no other topic is for replies"
        ),
        touched="Topic of the request that is answered: Sub; the request must be open and its connection alive",
        apache_difference="Apache checks nothing here, stores the message in any topic, and pushes it to any client",
    )


ROWS: dict[int, Requirement] = {
    RequestCode.SEND_MESSAGE: _sending("topic", "properties"),
    RequestCode.SEND_MESSAGE_V2: _sending("b", "i"),
    RequestCode.SEND_BATCH_MESSAGE: _sending("b", "i"),
    RequestCode.SEND_REPLY_MESSAGE: _replying("topic"),
    RequestCode.SEND_REPLY_MESSAGE_V2: _replying("b"),
    RequestCode.PULL_MESSAGE: _consuming(SUB, "Sub", more=_READ_FROM_RETRY.format("Sub")),
    RequestCode.LITE_PULL_MESSAGE: _consuming(
        SUB,
        "Sub",
        "as code 11; Apache checks nothing here, so that any topic can be read",
        _READ_FROM_RETRY.format("Sub"),
    ),
    RequestCode.QUERY_CONSUMER_OFFSET: _consuming(SUB_GET, "Sub or Get"),
    RequestCode.UPDATE_CONSUMER_OFFSET: _consuming(SUB_UPDATE, "Sub or Update"),
    RequestCode.QUERY_MESSAGE: Requirement(
        named=(topic(SUB_GET),),
        apache_difference=(
            "from `%RETRY%g` and `%DLQ%g` only those messages are given out on whose original topic the reader has Sub "
            "or Get"
        ),
    ),
    RequestCode.VIEW_MESSAGE_BY_ID: Requirement(
        named=(topic(GET, absent=WhenAbsent.TOUCHED),),
        touched="Topic of the message found: Get",
        apache_difference="Apache never compares the topic named with the message found",
    ),
    RequestCode.CONSUMER_SEND_MSG_BACK: Requirement(
        named=(group(SUB),),
        touched="Topic of the message found: Sub",
        apache_difference="Apache copies any stored message into the group's retry topic",
    ),
    RequestCode.END_TRANSACTION: Requirement(
        rule=end_transaction,
        description="Topic: Pub, where `topic` names one other than the store of half messages",
        touched="Topic of the half message found: Pub; the answer for a denial is that for no half message",
        apache_difference="Apache never compares the topic named with the half message; older clients name none",
    ),
    RequestCode.CHECK_TRANSACTION_STATE: internal("broker → producer", _BROKER_DIFFERENCE),
    RequestCode.RESUME_CHECK_HALF_MESSAGE: Requirement(
        named=(topic(UPDATE, absent=WhenAbsent.TOUCHED),),
        touched="Topic of the discarded half message found: Update; the answer for a denial is that for no message",
        apache_difference="Apache never compares the topic named with the message, and accepts any stored message",
    ),
    RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT: internal("broker → producer", _BROKER_DIFFERENCE),
    RequestCode.RECALL_MESSAGE: Requirement(
        named=(topic(PUB),),
        apache_difference=(
            "Apache finds the message by its unique id alone, so that a recall can remove one of another topic; here "
            "it must be one of the topic named, and not in a retry topic"
        ),
    ),
    RequestCode.CONSUME_MESSAGE_DIRECTLY: Requirement(
        named=(group(SUB, "consumerGroup"), topic(SUB, absent=WhenAbsent.TOUCHED)),
        retry_group_field="consumerGroup",
        touched="Topic of the message found: Sub",
        apache_difference="Apache hands any stored message to the group's client",
    ),
}
"""The rows of this family, by request code."""
