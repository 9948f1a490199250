"""Retry, dead-letter and lite topics mean the resource that they belong to."""

import pytest

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import PermissionsUnclear
from mqguard.guard.permissions import CREATE, DELETE, GET, PUB, PUB_SUB, PUB_SUB_GET, SUB, SUB_GET
from mqguard.guard.topic_ownership import MAX_NAME_LENGTH, consumed, group_permission, popped, topic_permission


def told(*needs):
    return [(need.type, need.name, need.actions) for need in needs]


@pytest.mark.parametrize(
    ("asked", "on_group"),
    [(PUB, SUB), (SUB, SUB), (PUB_SUB, SUB), (PUB_SUB_GET, SUB_GET), (GET, GET), (CREATE, CREATE), (DELETE, DELETE)],
)
@pytest.mark.parametrize("prefix", ["%RETRY%", "%DLQ%"])
def test_retry_and_dead_letter_topics_mean_their_group(prefix, asked, on_group):
    """Pub on the topic becomes Sub on the group; other actions stay."""
    assert told(topic_permission(prefix + "g", asked)) == [(ResourceType.GROUP, "g", on_group)]


@pytest.mark.parametrize("topic", ["%RETRY%", "%DLQ%", "%RETRY%  ", "%LMQ%$", "%LMQ%$p", "%LMQ%$p$", "%LMQ%$$l"])
def test_a_topic_without_an_owner_is_denied(topic):
    """A prefix without an owner names nothing."""
    with pytest.raises(PermissionsUnclear) as refused:
        topic_permission(topic, PUB)

    assert refused.value.reason == "ownerless-topic"


@pytest.mark.parametrize("topic", ["%SYS%x", "ns%t", "%retry%g", "RETRY%g", "%", "%RETRYg"])
def test_other_percent_signs_mean_nothing(topic):
    """Only the exact prefixes make an owned topic."""
    assert told(topic_permission(topic, PUB)) == [(ResourceType.TOPIC, topic, PUB)]


def test_a_lite_topic_means_its_parent_and_what_that_belongs_to():
    """`%LMQ%$parent$lite` needs what the parent needs."""
    assert told(topic_permission("%LMQ%$p$l$x", SUB)) == [(ResourceType.TOPIC, "p", SUB)]
    assert told(topic_permission("%LMQ%$%RETRY%g$l", SUB)) == [(ResourceType.GROUP, "g", SUB)]


@pytest.mark.parametrize("group", ["%RETRY%g", "%DLQ%g"])
def test_a_group_is_not_named_by_its_topics(group):
    """The name of a retry topic is not a group: guard and handler must see the same group."""
    with pytest.raises(PermissionsUnclear, match="in the field `group`") as refused:
        group_permission(group, SUB)

    assert refused.value.reason == "topic-for-group"


@pytest.mark.parametrize("group", ["%SYS%g", "%retry%g", "%", "g%RETRY%"])
def test_other_percent_signs_mean_nothing_in_groups_either(group):
    assert told(group_permission(group, SUB)) == [(ResourceType.GROUP, group, SUB)]


@pytest.mark.parametrize("use", [consumed, popped])
def test_the_message_has_the_field_of_the_group(use):
    """Most requests name it `consumerGroup`."""
    for topic in ("t", "%RETRY%%DLQ%g_t"):
        with pytest.raises(PermissionsUnclear, match="in the field `consumerGroup`"):
            use(topic, "%DLQ%g", SUB, SUB)
        with pytest.raises(PermissionsUnclear, match="in the field `c`"):
            use(topic, "%DLQ%g", SUB, SUB, "c")


def test_consuming_a_topic_needs_both():
    """Topic first, then group."""
    assert told(*consumed("t", "g", SUB, GET)) == [(ResourceType.TOPIC, "t", SUB), (ResourceType.GROUP, "g", GET)]


def test_ones_own_retry_topic_needs_the_group_alone():
    """`%RETRY%g` as group g is group g."""
    assert told(*consumed("%RETRY%g", "g", SUB, SUB)) == [(ResourceType.GROUP, "g", SUB)]


def test_ones_own_pop_retry_topic_needs_group_and_topic():
    """`%RETRY%g+t` as group g reads messages of t."""
    both = [(ResourceType.TOPIC, "t", SUB), (ResourceType.GROUP, "g", SUB)]

    assert told(*consumed("%RETRY%g+t", "g", SUB, SUB)) == both
    assert told(*popped("%RETRY%g_t", "g", SUB, SUB)) == both


@pytest.mark.parametrize("topic", ["%RETRY%h", "%RETRY%gg", "%RETRY%g_t", "%RETRY%", "%RETRY%h+t", "%RETRY%g-t"])
def test_a_foreign_retry_topic_is_refused(topic):
    """Whatever begins with `%RETRY%` and is not this group's own; `%RETRY%g_t` may be that of a group `g_t`."""
    with pytest.raises(PermissionsUnclear) as refused:
        consumed(topic, "g", SUB, SUB)

    assert refused.value.reason == "foreign-retry-topic"


@pytest.mark.parametrize("topic", ["%RETRY%g+", "%RETRY%g+ "])
def test_a_pop_retry_topic_of_no_topic_is_refused(topic):
    """The topic part must be there."""
    with pytest.raises(PermissionsUnclear):
        consumed(topic, "g", SUB, SUB)


def test_a_dead_letter_topic_needs_its_group_and_the_reading_one():
    """Group g for `%DLQ%g`, and the group that reads it."""
    assert told(*consumed("%DLQ%g", "h", SUB, SUB)) == [(ResourceType.GROUP, "g", SUB), (ResourceType.GROUP, "h", SUB)]


ALL_MESSAGES = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "rmq_sys_wheel_timer",
]


@pytest.mark.parametrize("topic", ALL_MESSAGES)
def test_positions_of_a_store_of_all_messages_may_be_asked(topic):
    """Only reading it is for Super users; its positions say nothing of anybody's messages."""
    assert told(topic_permission(topic, frozenset({Action.GET}))) == [(ResourceType.TOPIC, topic, GET)]
    for reading in (SUB, SUB_GET, PUB_SUB_GET):
        with pytest.raises(PermissionsUnclear, match=f"only a Super user may read the topic `{topic}`") as refused:
            topic_permission(topic, reading)
        assert refused.value.reason == "super-only"


LONG = "t" * (MAX_NAME_LENGTH + 1)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: topic_permission(LONG, PUB),
        lambda: group_permission(LONG, SUB),
        lambda: consumed("%RETRY%" + LONG, "g", SUB, SUB),
        lambda: consumed("t", LONG, SUB, SUB),
        lambda: popped("%RETRY%" + LONG, "g", SUB, SUB),
        lambda: popped("t", LONG, SUB, SUB),
    ],
)
def test_a_name_that_nothing_has_is_refused_without_repeating_it(ask):
    """Names that a peer invents must not fill answers and logs."""
    with pytest.raises(PermissionsUnclear) as refused:
        ask()

    assert refused.value.reason == "long-name"
    assert len(str(refused.value)) < 100


def test_the_longest_names_that_are_looked_at():
    """They are longer than any legal one."""
    assert MAX_NAME_LENGTH > 255
    assert told(topic_permission(LONG[:-1], PUB)) == [(ResourceType.TOPIC, LONG[:-1], PUB)]
