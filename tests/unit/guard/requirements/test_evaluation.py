"""From a row and a request to the permissions that it needs, and the cache of these."""

import pytest

from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import PermissionsUnclear
from mqguard.guard.permissions import GET, SUB
from mqguard.guard.requirements import row
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.guard.requirements.row import Requirement, RequirementLevel, WhenAbsent, cluster, group, topic
from mqguard.remoting.command import Command
from tests.unit.guard.requirements.shape import is_pending

CODE = 7


def needs(row, **ext):
    return [need.key for need in Requirements("c", {CODE: row}).permissions(Command(CODE, ext=ext))]


def test_fields_are_checked_in_the_order_of_the_row():
    """Apache checks in the same order, and the message names the first denied one."""
    assert needs(Requirement(named=(group(SUB), topic(SUB))), topic="t", group="g") == ["Group:g", "Topic:t"]


def test_a_permission_is_listed_once():
    """However many fields name it."""
    row = Requirement(named=(topic(GET), topic(GET, "topicList", split=";")))

    assert needs(row, topic="t", topicList="t;u;t") == ["Topic:t", "Topic:u"]


@pytest.mark.parametrize("names", [";", "a;", ";a", "a;;b", " ;a"])
def test_a_list_has_no_empty_names(names):
    """A handler might read an empty part as something else than nothing."""
    with pytest.raises(PermissionsUnclear, match="topicList"):
        needs(Requirement(named=(topic(GET, "topicList", split=";"),)), topicList=names)


def test_the_own_cluster_is_the_servers():
    """No field of the request counts."""
    assert needs(Requirement(own_cluster=GET), clusterName="other") == ["Cluster:c"]
    assert needs(Requirement(named=(topic(GET),), own_cluster=GET), topic="t") == ["Topic:t", "Cluster:c"]


def test_a_named_cluster_is_the_one_named():
    """And must be named."""
    row = Requirement(named=(cluster(GET),))

    assert needs(row, clusterName="other") == ["Cluster:other"]
    with pytest.raises(PermissionsUnclear, match="clusterName"):
        needs(row)


def test_a_field_that_narrows_may_be_absent_but_not_blank():
    """White space is a name to some handlers and none to others."""
    row = Requirement(named=(topic(GET), group(GET, absent=WhenAbsent.NARROWS)))

    assert needs(row, topic="t") == ["Topic:t"]
    assert needs(row, topic="t", group="") == ["Topic:t"]
    assert needs(row, topic="t", group="g") == ["Topic:t", "Group:g"]
    with pytest.raises(PermissionsUnclear):
        needs(row, topic="t", group="  ")


def test_retry_topics_follow_the_group_named():
    """Another group's retry topic is refused; one's own is the group."""
    row = Requirement(named=(group(SUB), topic(SUB)), retry_group_field="group")

    assert needs(row, topic="%RETRY%g", group="g") == ["Group:g"]
    with pytest.raises(PermissionsUnclear, match="not the retry topic"):
        needs(row, topic="%RETRY%h", group="g")


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (RequirementLevel.SUPER, "super-only"),
        (RequirementLevel.BROKER, "broker-only"),
        (RequirementLevel.UNSERVED, "super-only"),
    ],
)
def test_levels_that_only_super_users_reach(level, reason):
    """They are unclear to everybody else, whatever fields there are."""
    with pytest.raises(PermissionsUnclear) as refused:
        needs(Requirement(level=level), topic="t")

    assert refused.value.reason == reason


def test_a_code_without_a_row():
    """Is for Super users."""
    with pytest.raises(PermissionsUnclear) as refused:
        Requirements("c", {}).permissions(Command(CODE))

    assert refused.value.reason == "unmapped-code"


def test_what_is_pending():
    """Always where the row says so; else where every name that may be absent is absent."""
    always = Requirements(
        "c", {CODE: Requirement(named=(topic(GET, absent=WhenAbsent.TOUCHED),), touched="the message")}
    )
    unnamed = Requirements(
        "c",
        {
            CODE: Requirement(
                named=(
                    group(GET),
                    topic(GET, absent=WhenAbsent.TOUCHED),
                    topic(GET, "list", absent=WhenAbsent.TOUCHED),
                ),
                unnamed="every topic",
            )
        },
    )
    never = Requirements("c", {CODE: Requirement(own_cluster=GET)})

    assert is_pending(always, Command(CODE, ext={"topic": "t"}))
    assert is_pending(unnamed, Command(CODE, ext={"group": "g"}))
    assert is_pending(unnamed, Command(CODE, ext={"group": "g", "topic": " "}))
    assert not is_pending(unnamed, Command(CODE, ext={"group": "g", "list": "t"}))
    assert not is_pending(never, Command(CODE))
    assert not is_pending(never, Command(CODE + 1))


def test_a_row_of_resources_names_some():
    """A row that demands rights on nothing is a mistake that is said at once."""
    with pytest.raises(ValueError, match="names none"):
        Requirement()
    assert Requirement(level=RequirementLevel.IDENTITY).named == ()


def test_types_of_named_things():
    """The makers of fields say what they name."""
    assert [made.type for made in (topic(GET), group(GET), cluster(GET))] == [
        ResourceType.TOPIC,
        ResourceType.GROUP,
        ResourceType.CLUSTER,
    ]


def test_a_full_memory_starts_anew(monkeypatch):
    """It never holds more than its limit."""
    monkeypatch.setattr(row, "MAX_CACHED", 2)
    known = row.BoundedCache()
    for number in range(2):
        known.put(number, str(number))
    assert [known.get(number) for number in range(2)] == ["0", "1"]

    known.put(2, "2")

    assert [known.get(number) for number in range(3)] == [None, None, "2"]


NAMES = {10: ("topic",), 310: ("b",), 11: ("topic", "consumerGroup"), 14: ("topic", "consumerGroup")}
NAMES |= dict.fromkeys((200050, 200051, 200053, 200055), ("topic", "consumerGroup"))
"""The codes of frequent requests, and the fields that name their resources."""


@pytest.fixture(name="requirements")
def fresh_requirements():
    return Requirements("c")


@pytest.mark.parametrize("code", NAMES)
def test_the_same_request_gives_the_same_needs(code, requirements):
    """They are the same objects, because audit lines are cached by identity. Names of the maximum legal length are too."""
    for length in (1, 255):
        ext = dict.fromkeys(NAMES[code], "t" * length)

        assert requirements.permissions(Command(code, ext=ext)) is requirements.permissions(
            Command(code, ext=dict(ext))
        )


@pytest.mark.parametrize(("code", "field"), [(code, field) for code, fields in NAMES.items() for field in fields])
def test_names_longer_than_any_legal_one_are_not_cached(code, field, requirements):
    """A peer must not fill our memory with names that it makes up."""
    ext = {**dict.fromkeys(NAMES[code], "t"), field: "t" * 256}
    once, again = (requirements.permissions(Command(code, ext=ext)) for _ in range(2))

    assert once == again
    assert once is not again
