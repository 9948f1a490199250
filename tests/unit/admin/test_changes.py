"""Changes at several brokers, one after the other: an error says which brokers have changed."""

import pytest

from mqguard.admin import broker_states
from mqguard.admin.broker_states import BrokerState, apply_at
from mqguard.admin.errors import ChangesIncomplete, ChangesTooMany, PeerRefused
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.ports import DeleteUser
from mqguard.net.errors import LinkClosed, LinkTimeout

CHANGE = (DeleteUser("bob"),)


class Answering:
    """Connection to a broker that answers or fails as the test chooses."""

    def __init__(self, failure=None):
        self.failure = failure
        self.asked = 0

    def call(self, *_, **__):
        self.asked += 1
        if self.failure is not None:
            raise self.failure


def brokers(*failures):
    names = ("broker-a", "broker-b", "broker-c")
    return [
        BrokerState(name, Answering(failure), AccessState({}, {}))
        for name, failure in zip(names, failures, strict=False)
    ]


def test_each_broker_that_has_changes_makes_them():
    found = brokers(None, None, None)

    apply_at(found, [CHANGE, (), CHANGE])

    assert [broker.session.asked for broker in found] == [1, 0, 1]


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (PeerRefused(16, "no"), PeerRefused, "no"),
        (LinkClosed("closed"), ChangesTooMany, "closed: the changes are 0 MiB, and brokers accept at most 16 MiB"),
        (LinkTimeout("late"), LinkTimeout, "late: `broker-a` may have made the changes or not"),
    ],
)
def test_the_first_broker_stops_all(monkeypatch, failure, kind, told):
    monkeypatch.setattr(broker_states, "MAX_SAFE_BYTES", 0)
    found = brokers(failure, None)

    with pytest.raises(kind) as caught:
        apply_at(found, [CHANGE, CHANGE])

    assert told in str(caught.value)
    assert "already changed" not in str(caught.value)
    assert found[1].session.asked == 0


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (PeerRefused(16, "no"), ChangesIncomplete, "`broker-c` refuses: "),
        (LinkClosed("closed"), ChangesIncomplete, "`broker-c` refuses: closed: the changes are 0 MiB"),
        (LinkTimeout("late"), LinkTimeout, "late: `broker-c` may have made the changes or not"),
    ],
)
def test_the_error_names_the_brokers_that_have_changed(monkeypatch, failure, kind, told):
    """Brokers of one cluster may need different changes, so a later one may accept no more."""
    monkeypatch.setattr(broker_states, "MAX_SAFE_BYTES", 0)

    with pytest.raises(kind) as caught:
        apply_at(brokers(None, None, failure), [CHANGE, CHANGE, CHANGE])

    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith("; already changed: `broker-a`, `broker-b`")
