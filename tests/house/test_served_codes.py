"""Every served request code has a row in the requirements table that is not marked as unserved."""

from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.namesrv.kv import KvTable
from mqguard.namesrv.route_table import RouteTable
from mqguard.namesrv.server import NameServer
from mqguard.remoting.codes import OwnCode, RequestCode
from tests.fixtures.clock import ManualClock
from tests.unit.broker.conftest import House


def broker_codes() -> frozenset[int]:
    """Return the request codes that a broker serves."""
    return House().app.codes


def name_server_codes() -> frozenset[int]:
    """Return the request codes that a name server serves."""
    return frozenset(NameServer(RouteTable(), KvTable(), ManualClock(), {}).handlers())


def test_every_served_code_is_guarded() -> None:
    """A handler without a requirement would serve Super users only, for no visible reason."""
    assert (broker_codes() | name_server_codes()) - set(TABLE) == set()


def test_no_served_code_is_listed_as_unserved() -> None:
    """A row of the mark `unserved` must not guard a code that is served."""
    served = broker_codes() | name_server_codes()
    assert {code for code in served if TABLE[code].level is RequirementLevel.UNSERVED} == set()


def test_broker_and_name_server_serve_different_codes() -> None:
    """One port may serve both, so each code has one meaning."""
    assert broker_codes() & name_server_codes() == set()


def test_only_known_codes_are_served() -> None:
    """A code that no client knows is a typing error."""
    known = set(map(int, (*RequestCode, *OwnCode)))
    assert (broker_codes() | name_server_codes()) - known == set()
