"""Every request code that is served has a row in the requirements table, and none of the rows is that of a dead code."""

from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.namesrv.kv import KvTable
from mqguard.namesrv.route_table import RouteTable
from mqguard.namesrv.server import NameServer
from mqguard.remoting.codes import OwnCode, RequestCode
from tests.fixtures.clock import ManualClock
from tests.unit.broker.conftest import House


def broker_codes() -> frozenset[int]:
    """What a broker serves."""
    return House().app.codes


def name_server_codes() -> frozenset[int]:
    """What a name server serves."""
    return frozenset(NameServer(RouteTable(), KvTable(), ManualClock(), {}).handlers())


def test_every_served_code_is_guarded() -> None:
    """A handler without a requirement would serve Super users only, and nobody would know why."""
    assert (broker_codes() | name_server_codes()) - set(TABLE) == set()


def test_no_served_code_is_listed_as_dead() -> None:
    """A row that says that nobody serves a code must not guard one that is served."""
    served = broker_codes() | name_server_codes()
    assert {code for code in served if TABLE[code].level is RequirementLevel.NOT_SERVED} == set()


def test_broker_and_name_server_serve_different_codes() -> None:
    """One port may serve both: no code means two things."""
    assert broker_codes() & name_server_codes() == set()


def test_only_known_codes_are_served() -> None:
    """A code that no client knows is a slip of the keyboard."""
    known = set(map(int, (*RequestCode, *OwnCode)))
    assert (broker_codes() | name_server_codes()) - known == set()
