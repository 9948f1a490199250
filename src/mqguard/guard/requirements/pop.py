"""Requests of pop consumers, and of lite topics, which only pop reads."""

from collections.abc import Callable, Iterator

from mqguard.guard.permissions import GET, SUB, Actions, RequiredPermission, RequiredPermissions
from mqguard.guard.requirements.body import check_count, each_once, read_body
from mqguard.guard.requirements.row import MAX_CACHED_NAME, BoundedCache, Requirement, Rule, group, internal, topic
from mqguard.guard.topic_ownership import consumed, given_group, given_topic, missing, popped
from mqguard.remoting.bodies.clients import BatchAck
from mqguard.remoting.bodies.lite import LiteSubscriptions
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

_Find = Callable[[str, str, Actions, Actions], RequiredPermissions]


def reading(actions: Actions) -> Rule:
    """Return the rule of popping, peeking and waiting: group first, then topic, as Apache checks them."""
    return _pair(consumed, actions)


def settling(actions: Actions) -> Rule:
    """Return the rule of requests about popped messages: a retry topic may have its older form."""
    return _pair(popped, actions)


def _pair(find: _Find, actions: Actions) -> Rule:
    known: BoundedCache[tuple[str | None, str | None], RequiredPermissions] = BoundedCache()

    def permissions(command: Command) -> RequiredPermissions:
        ext = command.ext
        name, consumers = pair = (ext.get("topic"), ext.get("consumerGroup"))
        found = known.get(pair)
        if found is not None:
            return found
        consumers = given_group(consumers)
        name = given_topic(name)
        found = find(name, consumers, actions, actions)[::-1]
        if len(name) <= MAX_CACHED_NAME and len(consumers) <= MAX_CACHED_NAME:
            known.put(pair, found)
        return found

    return permissions


MAX_ACKS = 1_000
"""Maximum parts of a batch of acknowledgements: a proxy collects some tens, and each part has a bit per message."""
MAX_LITE_SUBSCRIPTIONS = 1_000
"""Maximum entries of a change of lite subscriptions: a client has some hundreds of lite topics in one entry."""


def batch_ack(command: Command) -> Iterator[RequiredPermission]:
    """Require Sub on group and topic of every part of the batch."""
    acks = read_body(command, BatchAck).acks
    if not acks:
        raise missing("acks", "list of acknowledgements")
    check_count((acks,), MAX_ACKS, "acknowledgements")
    yield from each_once(
        popped(given_topic(ack.topic, "t"), given_group(ack.group, "c"), SUB, SUB, "c") for ack in acks
    )


def lite_subscriptions(command: Command) -> Iterator[RequiredPermission]:
    """Require Sub on group and parent topic of every entry, for every action."""
    entries = read_body(command, LiteSubscriptions).subscription_set
    if not entries:
        raise missing("subscriptionSet", "set of subscriptions")
    check_count((entries,), MAX_LITE_SUBSCRIPTIONS, "subscriptions")
    yield from each_once(
        consumed(given_topic(entry.topic), given_group(entry.group, "group"), SUB, SUB, "group") for entry in entries
    )


_READING = Requirement(
    rule=reading(SUB),
    description="Group (`consumerGroup`): Sub; Topic (`topic`): Sub",
    apache_difference="`%RETRY%g` only as group `g`",
)
_SETTLING = Requirement(
    rule=settling(SUB),
    description="Group (`consumerGroup`): Sub; Topic (`topic`): Sub; a retry topic only of that group",
    apache_difference="`%RETRY%g` only as group `g`",
)
_NOT_AT_APACHE = "Apache checks nothing here"
_GROUPS_OF_ANSWER = "each group of the answer: Get; the others are left out"

ROWS: dict[int, Requirement] = {
    RequestCode.POP_MESSAGE: _READING,
    RequestCode.PEEK_MESSAGE: Requirement(
        named=(topic(SUB), group(SUB, "consumerGroup")), retry_group_field="consumerGroup"
    ),
    RequestCode.NOTIFICATION: _READING,
    RequestCode.POLLING_INFO: Requirement(
        rule=reading(GET), description="Group (`consumerGroup`): Get; Topic (`topic`): Get"
    ),
    RequestCode.ACK_MESSAGE: _SETTLING,
    RequestCode.CHANGE_MESSAGE_INVISIBLETIME: _SETTLING,
    RequestCode.BATCH_ACK_MESSAGE: Requirement(
        rule=batch_ack,
        description="of every part of the body: Group: Sub, Topic: Sub",
        apache_difference=_NOT_AT_APACHE,
    ),
    RequestCode.POP_LITE_MESSAGE: Requirement(
        rule=reading(SUB),
        description="Group (`consumerGroup`): Sub; Topic (`topic`, the parent): Sub",
        touched="the parent topic of every lite queue that is popped: Sub; the client id must be the sender's own",
        apache_difference=_NOT_AT_APACHE,
    ),
    RequestCode.LITE_SUBSCRIPTION_CTL: Requirement(
        rule=lite_subscriptions,
        description="of every entry of the body: Group: Sub, Topic (the parent): Sub",
        touched="every client id must be the sender's own",
        apache_difference=_NOT_AT_APACHE,
    ),
    RequestCode.NOTIFY_UNSUBSCRIBE_LITE: internal("broker → proxy", _NOT_AT_APACHE),
    RequestCode.GET_BROKER_LITE_INFO: Requirement(
        own_cluster=GET,
        touched="each parent topic and each group of the answer: Get; the others are left out",
        apache_difference=_NOT_AT_APACHE,
    ),
    RequestCode.GET_PARENT_TOPIC_INFO: Requirement(
        named=(topic(GET),), touched=_GROUPS_OF_ANSWER, apache_difference=_NOT_AT_APACHE
    ),
    RequestCode.GET_LITE_TOPIC_INFO: Requirement(
        named=(topic(GET, "parentTopic"),), touched=_GROUPS_OF_ANSWER, apache_difference=_NOT_AT_APACHE
    ),
    RequestCode.GET_LITE_CLIENT_INFO: Requirement(
        named=(topic(GET, "parentTopic"), group(GET)), apache_difference=_NOT_AT_APACHE
    ),
    RequestCode.GET_LITE_GROUP_INFO: Requirement(
        named=(group(GET),), touched="the parent topic of the group: Get", apache_difference=_NOT_AT_APACHE
    ),
    RequestCode.TRIGGER_LITE_DISPATCH: Requirement(named=(group(GET),), apache_difference=_NOT_AT_APACHE),
}
"""The rows of this family, by request code."""
