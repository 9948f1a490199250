"""Requests with which clients announce themselves, share queues and lock them.

A producer group is not a resource. A user with Pub on a topic needs no other permission to produce, and every Java
client also names `CLIENT_INNER_PRODUCER`. So a heartbeat's producers need an authenticated sender and no more. The
objects that a producer group could reach are checked later. The broker checks a transaction only at connections
whose user has Pub on the message's topic. A reply goes only to the connection that sent the request. Client ids
belong to users: two users may have the same one, and neither reaches the objects of the other.
"""

import itertools
from collections.abc import Iterator

from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import SUB, RequiredPermission, RequiredPermissions
from mqguard.guard.requirements.body import check_count, each_once, read_body
from mqguard.guard.requirements.row import Requirement
from mqguard.guard.topic_ownership import (
    check_length,
    consumed,
    given_group,
    given_topic,
    group_permission,
    popped,
    require_name,
)
from mqguard.model.text import is_blank
from mqguard.remoting.bodies.clients import CheckClient, ConsumerData, HeartbeatData, LockBatch, QueryAssignment
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

MAX_GROUPS = 256
"""Maximum groups of a heartbeat: a process has a handful. So many known ones take 8 ms with their permissions."""
MAX_SUBSCRIPTIONS = 1_000
"""Maximum subscriptions of a heartbeat, all groups together: a process has some tens. So many take 10 ms."""
MAX_QUEUES = 1_000
"""Maximum queues to lock at once: a client locks those that one broker has for one of its groups."""


def heartbeat(command: Command) -> Iterator[RequiredPermission]:
    """Require Sub on every consumer's group and on the topics that it subscribes to.

    The server stores the names that need no permission too while the client lives, so their length is checked.
    """
    beat = read_body(command, HeartbeatData)
    require_name(check_length(beat.client_id), "clientID", "client id")
    consumers = beat.consumer_data_set
    check_count((beat.producer_data_set, consumers), MAX_GROUPS, "producer and consumer groups")
    check_count((one.subscription_data_set for one in consumers), MAX_SUBSCRIPTIONS, "subscriptions")
    for producer in beat.producer_data_set:
        require_name(check_length(producer.group_name), "producerDataSet[].groupName", "producer group")
    yield from each_once(_consumer(consumer) for consumer in consumers)


def _consumer(consumer: ConsumerData) -> RequiredPermissions:
    group = given_group(consumer.group_name, "groupName")
    permissions = [group_permission(group, SUB, "groupName")]
    for subscription in consumer.subscription_data_set:
        # A client whose queues the broker assigns also names the retry topic of pop, in its older form.
        permissions += popped(given_topic(subscription.topic), group, SUB, SUB)
    return tuple(permissions)


def queues(command: Command) -> Iterator[RequiredPermission]:
    """Require Sub on the group and on the topic of every queue."""
    body = read_body(command, LockBatch)
    check_length(body.client_id)
    check_count((body.mq_set,), MAX_QUEUES, "queues")
    group = given_group(body.consumer_group)
    owner = (group_permission(group, SUB, "consumerGroup"),)
    topics = dict.fromkeys(queue.topic for queue in body.mq_set)
    yield from each_once(itertools.chain((owner,), (consumed(given_topic(topic), group, SUB, SUB) for topic in topics)))


def assignment(command: Command) -> Iterator[RequiredPermission]:
    """Require Sub on topic and group."""
    body = read_body(command, QueryAssignment)
    yield from popped(given_topic(body.topic), given_group(body.consumer_group), SUB, SUB)


def check_client(command: Command) -> Iterator[RequiredPermission]:
    """Require Sub on the group, and on the topic whose filter is tested."""
    body = read_body(command, CheckClient)
    yield from consumed(given_topic(body.subscription_data.topic), given_group(body.group, "group"), SUB, SUB, "group")


def unregister(command: Command) -> RequiredPermissions:
    """Require Sub on the consumer group, if there is one; the client id must be the sender's own."""
    ext = command.ext
    require_name(ext.get("clientID"), "clientID", "client id")
    group = ext.get("consumerGroup")
    if group is not None and not is_blank(group):
        return (group_permission(group, SUB, "consumerGroup"),)
    if is_blank(ext.get("producerGroup")):
        raise PermissionsUnclear(
            DenialReason.MISSING_FIELD,
            "a group is missing: both `consumerGroup` and `producerGroup` are absent or empty",
        )
    return ()


_QUEUES = Requirement(
    rule=queues, description="Group (`consumerGroup` of the body): Sub; every Topic of the body's queues: Sub"
)

ROWS: dict[int, Requirement] = {
    RequestCode.HEART_BEAT: Requirement(
        rule=heartbeat,
        description=(
            "of every consumer: Group: Sub, every Topic subscribed: Sub, a retry topic only its own; producers: an "
            "authenticated sender. Consumers and subscriptions that are denied are left out, and named in the answer"
        ),
        apache_difference=(
            "Apache skips retry topics of any group, and one denied consumer denies the whole heartbeat of a process"
        ),
    ),
    RequestCode.UNREGISTER_CLIENT: Requirement(
        rule=unregister,
        description="Group (`consumerGroup`): Sub, where one is named; else a `producerGroup` must be named",
        touched="the client was registered over this connection, by the sender itself",
        apache_difference="Apache lets anybody unregister any client id",
    ),
    RequestCode.LOCK_BATCH_MQ: _QUEUES,
    RequestCode.UNLOCK_BATCH_MQ: _QUEUES,
    RequestCode.QUERY_ASSIGNMENT: Requirement(
        rule=assignment,
        description="Topic and Group (of the body): Sub",
        apache_difference="Apache checks nothing here",
    ),
    RequestCode.CHECK_CLIENT_CONFIG: Requirement(
        rule=check_client,
        description="Group and Topic (of the body's subscription): Sub",
        apache_difference="Apache checks nothing here",
    ),
}
"""The rows of this family, by request code."""
