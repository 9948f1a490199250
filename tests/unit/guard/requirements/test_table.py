"""The table is whole, and what it leaves open is known by name. (`tests/vectors` compares it with what Apache checks.)"""

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.requirements import clients, groups, messages, operations, pop, topics
from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.remoting.codes import RequestCode


def test_no_code_is_in_two_families():
    """A code has one row: merging the families loses none."""
    families = (messages, clients, topics, groups, pop, operations)

    assert sum(len(family.ROWS) for family in families) == len(TABLE)


def test_every_code_needs_a_right():
    """No code is served to an authenticated sender without rights."""
    free = {RequestCode(code).name for code, row in TABLE.items() if row.level is RequirementLevel.IDENTITY}

    assert free == set()


def test_only_super_users_touch_configuration_routes_and_all_data():
    """Configuration of servers, what decides which broker clients of all topics find, and copies of all data."""
    supers = {int(code) for code, row in TABLE.items() if row.level is RequirementLevel.SUPER}

    configuration = {25, 26, 318, 319, 1009, 1010}
    routes = {100, 102, 205, 216, 217, 327, 902, 903, 1011}
    all_data = {7_700_002, 7_700_003}
    assert supers == configuration | routes | all_data


def test_no_right_of_an_operator_acts_as_a_broker():
    """`Cluster` Update is left to maintenance: it neither registers, elects nor replicates."""
    maintenance = {int(code) for code, row in TABLE.items() if row.own_cluster == frozenset({Action.UPDATE})}

    access = {3001, 3002, 3003, 3006, 3007, 3008}
    assert maintenance == access | {306, 316, 329, 2001, 2002, 2004, 5001, 200056}
    named = [one for row in TABLE.values() for one in row.named if one.type is ResourceType.CLUSTER]
    assert named
    assert not any(Action.UPDATE in one.actions for one in named)
    assert {code for code, row in TABLE.items() if row.internal and row.level is not RequirementLevel.BROKER} == {901}
