"""Requests about consumer groups: configuration, offsets, statistics, and the state of their clients."""

from collections.abc import Iterator

from mqguard.guard.permissions import CREATE_UPDATE, DELETE, GET, SUB_GET, UPDATE, RequiredPermission
from mqguard.guard.requirements.body import check_count, each_once, read_body
from mqguard.guard.requirements.row import INVENTORY, Requirement, WhenAbsent, group, internal, topic
from mqguard.guard.topic_ownership import consumed, given_group, given_topic, group_permission, missing
from mqguard.remoting.bodies.clients import RequestMode
from mqguard.remoting.bodies.groups import GroupConfigBody, GroupConfigs
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

MAX_CONFIGS = 128
"""Maximum groups to create or change at once: each is a write of its own while others wait."""


def put_group(command: Command) -> Iterator[RequiredPermission]:
    """Require Create or Update on the group of the body: the guard does not know if it exists."""
    yield _put(read_body(command, GroupConfigBody))


def put_groups(command: Command) -> Iterator[RequiredPermission]:
    """Require Create or Update on every group of the body."""
    configs = read_body(command, GroupConfigs).group_config_list
    if not configs:
        raise missing("groupConfigList", "list of groups")
    check_count((configs,), MAX_CONFIGS, "groups")
    yield from each_once((_put(config),) for config in configs)


def _put(config: GroupConfigBody) -> RequiredPermission:
    return group_permission(given_group(config.group_name, "groupName"), CREATE_UPDATE, "groupName")


def set_request_mode(command: Command) -> Iterator[RequiredPermission]:
    """Require Update on the topic and on the group whose request mode is changed."""
    body = read_body(command, RequestMode)
    yield from consumed(given_topic(body.topic), given_group(body.consumer_group), UPDATE, UPDATE)


_EACH_TOPIC = "each Topic that is answered: Get; others are left out"
_ALL_TOPICS = "Apache answers every topic of the group, unchecked"

ROWS: dict[int, Requirement] = {
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: Requirement(
        rule=put_group,
        description="Group (`groupName` of the body): Create or Update",
        touched="the Group: Update where it exists, Create where it does not",
        apache_difference="Apache checks nothing here",
    ),
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: Requirement(
        rule=put_groups,
        description="every Group of the body: Create or Update",
        touched="every Group: Update where it exists, Create where it does not",
        apache_difference="Apache checks nothing here",
    ),
    RequestCode.DELETE_SUBSCRIPTIONGROUP: Requirement(named=(group(DELETE, "groupName"),)),
    RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG: Requirement(named=(group(GET),)),
    RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG: INVENTORY,
    RequestCode.GET_CONSUMER_LIST_BY_GROUP: Requirement(named=(group(SUB_GET, "consumerGroup"),)),
    RequestCode.GET_CONSUMER_CONNECTION_LIST: Requirement(
        named=(group(GET, "consumerGroup"),), touched=_EACH_TOPIC, apache_difference=_ALL_TOPICS
    ),
    RequestCode.GET_CONSUMER_RUNNING_INFO: Requirement(named=(group(GET, "consumerGroup"),)),
    RequestCode.NOTIFY_CONSUMER_IDS_CHANGED: internal(
        "broker → consumer", "only a broker sends it, so no right of a client covers it"
    ),
    RequestCode.GET_CONSUME_STATS: Requirement(
        named=(
            group(GET, "consumerGroup"),
            topic(GET, absent=WhenAbsent.TOUCHED),
            topic(GET, "topicList", split=";", absent=WhenAbsent.TOUCHED),
        ),
        retry_group_field="consumerGroup",
        unnamed="where no topic is named, each Topic that is answered: Get; others are left out",
        apache_difference="without a topic Apache answers every topic of the group, unchecked",
    ),
    RequestCode.QUERY_TOPICS_BY_CONSUMER: Requirement(
        named=(group(GET),), touched=_EACH_TOPIC, apache_difference=_ALL_TOPICS
    ),
    RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER: Requirement(named=(group(GET), topic(GET)), retry_group_field="group"),
    RequestCode.QUERY_CONSUME_TIME_SPAN: Requirement(named=(topic(GET), group(GET)), retry_group_field="group"),
    RequestCode.QUERY_CORRECTION_OFFSET: Requirement(
        named=(
            group(GET, "filterGroups", split=",", absent=WhenAbsent.TOUCHED),
            group(GET, "compareGroup"),
            topic(GET),
        ),
        retry_group_field="compareGroup",
        unnamed="where no groups are named, each Group whose position is looked at: Get",
        apache_difference="Apache looks at every group of the topic but those named, unchecked",
    ),
    RequestCode.QUERY_CONSUME_QUEUE: Requirement(
        named=(topic(GET), group(GET, "consumerGroup", absent=WhenAbsent.NARROWS)), retry_group_field="consumerGroup"
    ),
    RequestCode.INVOKE_BROKER_TO_RESET_OFFSET: Requirement(
        named=(group(UPDATE), topic(UPDATE)), retry_group_field="group"
    ),
    RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS: Requirement(
        named=(topic(GET), group(GET)), retry_group_field="group"
    ),
    RequestCode.CLONE_GROUP_OFFSET: Requirement(
        named=(
            group(GET, "srcGroup"),
            group(UPDATE, "destGroup"),
            topic(UPDATE, absent=WhenAbsent.TOUCHED),
        ),
        unnamed="where no topic is named, each Topic whose positions are copied: Update",
        apache_difference="Apache does not check the group that positions are taken from",
    ),
    RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN: Requirement(
        named=(group(UPDATE), topic(UPDATE)), retry_group_field="group"
    ),
    RequestCode.SET_MESSAGE_REQUEST_MODE: Requirement(
        rule=set_request_mode,
        description="Topic and Group (of the body): Update",
        apache_difference="Apache checks nothing here",
    ),
    RequestCode.GET_ALL_CONSUMER_OFFSET: INVENTORY,
    RequestCode.GET_ALL_MESSAGE_REQUEST_MODE: INVENTORY,
}
"""The rows of this family, by request code."""
