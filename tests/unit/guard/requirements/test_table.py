"""The table is whole, and what it leaves open is known by name. (`tests/vectors` compares it with what Apache checks.)"""

from mqguard.guard.requirements import clients, groups, messages, operations, pop, topics
from mqguard.guard.requirements.row import Level
from mqguard.guard.requirements.table import TABLE
from mqguard.remoting.codes import RequestCode


def test_no_code_stands_in_two_families():
    """A code has one row: merging the families loses none."""
    families = (messages, clients, topics, groups, pop, operations)

    assert sum(len(family.ROWS) for family in families) == len(TABLE)


def test_every_code_needs_a_right():
    """No code is served to an authenticated sender without rights."""
    free = {RequestCode(code).name for code, row in TABLE.items() if row.level is Level.IDENTITY}

    assert free == set()


def test_only_super_users_touch_configuration():
    """Reading and writing the configuration of a broker, a name server or a controller is for Super users."""
    supers = {int(code) for code, row in TABLE.items() if row.level is Level.SUPER}

    assert supers == {25, 26, 318, 319, 1009, 1010}
