"""Requests about topics and queues: routes, configuration, positions, statistics."""

from collections.abc import Iterator

from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import (
    CREATE,
    CREATE_UPDATE,
    DELETE,
    GET,
    PUB_SUB_GET,
    SUB_GET,
    RequiredPermission,
    RequiredPermissions,
)
from mqguard.guard.requirements.body import TopicMapping, check_count, each_once, read_body
from mqguard.guard.requirements.row import INVENTORY, Requirement, topic
from mqguard.guard.topic_ownership import given_topic, missing, topic_permission
from mqguard.remoting.bodies.topics import TopicConfigs
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

TOPIC_FILTERS = frozenset({"SINGLE_TAG", "MULTI_TAG"})


def create_topic(command: Command) -> RequiredPermissions:
    """Require Create or Update on the topic: the guard does not know if it exists.

    A topic without a known filter type is refused, as Apache does while it decodes.
    """
    ext = command.ext
    name = given_topic(ext.get("topic"))
    if ext.get("topicFilterType") not in TOPIC_FILTERS:
        raise PermissionsUnclear(
            DenialReason.MISSING_FIELD, "the field `topicFilterType` must be SINGLE_TAG or MULTI_TAG"
        )
    return (topic_permission(name, CREATE_UPDATE),)


MAX_TOPICS = 128
"""Maximum topics to create or change at once: each is a write of its own while others wait."""


def create_topics(command: Command) -> Iterator[RequiredPermission]:
    """Require Create or Update on every topic of the body."""
    topics = read_body(command, TopicConfigs).topic_config_list
    if not topics:
        raise missing("topicConfigList", "list of topics")
    check_count((topics,), MAX_TOPICS, "topics")
    yield from each_once(
        (topic_permission(given_topic(config.topic_name, "topicName"), CREATE_UPDATE),) for config in topics
    )


def create_static_topic(command: Command) -> Iterator[RequiredPermission]:
    """Require Create on the topic of the header and on that of the mapping in the body: both are written."""
    name = given_topic(command.ext.get("topic"))
    yield topic_permission(name, CREATE)
    mapped = given_topic(read_body(command, TopicMapping).topic)
    if mapped != name:
        yield topic_permission(mapped, CREATE)


_ONE_GET = Requirement(named=(topic(GET),))
_OFFSETS = Requirement(
    named=(topic(SUB_GET),),
    apache_difference=(
        "Apache wants Get alone, so a broadcasting consumer with Sub on topic and group receives nothing; every answer "
        "to a pull contains the same offsets"
    ),
)

ROWS: dict[int, Requirement] = {
    RequestCode.GET_ROUTEINFO_BY_TOPIC: Requirement(
        named=(topic(PUB_SUB_GET),),
        apache_difference=(
            "routes that clients ask for by themselves need no grant unless a policy denies them: `TBW102`, the "
            "cluster's name, a broker's name, the reply topic, the trace topic; Apache's name server checks nothing"
        ),
    ),
    RequestCode.UPDATE_AND_CREATE_TOPIC: Requirement(
        rule=create_topic,
        description="Topic (`topic`): Create or Update; `topicFilterType` must be given",
        touched="the Topic: Update where it exists, Create where it does not",
        apache_difference="Apache lets Create change a topic that exists",
    ),
    RequestCode.UPDATE_AND_CREATE_TOPIC_LIST: Requirement(
        rule=create_topics,
        description="every Topic of the body: Create or Update",
        touched="every Topic: Update where it exists, Create where it does not",
        apache_difference="Apache checks nothing here",
    ),
    RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC: Requirement(
        rule=create_static_topic,
        description="Topic (`topic`, and `topic` of the body): Create",
        apache_difference="Apache checks nothing here",
    ),
    RequestCode.DELETE_TOPIC_IN_BROKER: Requirement(named=(topic(DELETE),)),
    RequestCode.GET_TOPIC_CONFIG: _ONE_GET,
    RequestCode.GET_TOPIC_STATS_INFO: _ONE_GET,
    RequestCode.SEARCH_OFFSET_BY_TIMESTAMP: _OFFSETS,
    RequestCode.GET_MAX_OFFSET: _OFFSETS,
    RequestCode.GET_MIN_OFFSET: _OFFSETS,
    RequestCode.GET_EARLIEST_MSG_STORETIME: _OFFSETS,
    RequestCode.QUERY_TOPIC_CONSUME_BY_WHO: _ONE_GET,
    RequestCode.CHECK_ROCKSDB_CQ_WRITE_PROGRESS: Requirement(
        named=(topic(GET),), apache_difference="without a topic Apache looks at every topic, unchecked"
    ),
    RequestCode.GET_ALL_TOPIC_CONFIG: INVENTORY,
    RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER: INVENTORY,
    # Name server.
    RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER: INVENTORY,
    RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS: INVENTORY,
    RequestCode.GET_UNIT_TOPIC_LIST: INVENTORY,
    RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST: INVENTORY,
    RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: INVENTORY,
}
"""The rows of this family, by request code."""
