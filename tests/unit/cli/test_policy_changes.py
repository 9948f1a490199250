"""Changes at several brokers, one after the other: whatever stops them, it is told what has changed already."""

import pytest

from mqguard.admin import changes
from mqguard.admin.errors import ChangesTooMany, PeerRefused
from mqguard.auth.analysis.directory import Directory
from mqguard.auth.ports import DeleteUser
from mqguard.cli.policy_changes import ChangesIncomplete, apply_at
from mqguard.cli.policy_source import BrokerState
from mqguard.net.errors import LinkClosed, LinkTimeout

CHANGE = (DeleteUser("bob"),)


class Answering:
    """A connection to a broker that answers, or fails, as it is told."""

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
        BrokerState(name, Answering(failure), Directory({}, {})) for name, failure in zip(names, failures, strict=False)
    ]


def test_each_broker_that_has_changes_makes_them():
    found = brokers(None, None, None)

    apply_at(found, [CHANGE, (), CHANGE])

    assert [broker.session.asked for broker in found] == [1, 0, 1]


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (PeerRefused(16, "no"), PeerRefused, "no"),
        (LinkClosed("closed"), ChangesTooMany, "closed: the changes are 0 MiB, and brokers take no more than 16 MiB"),
        (LinkTimeout("late"), LinkTimeout, "late: whether `broker-a` has made the changes is not known"),
    ],
)
def test_the_first_broker_stops_all(monkeypatch, failure, kind, told):
    monkeypatch.setattr(changes, "_MANY", 0)
    found = brokers(failure, None)

    with pytest.raises(kind) as caught:
        apply_at(found, [CHANGE, CHANGE])

    assert told in str(caught.value)
    assert "changed already" not in str(caught.value)
    assert found[1].session.asked == 0


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (PeerRefused(16, "no"), ChangesIncomplete, "`broker-c` refuses: "),
        (LinkClosed("closed"), ChangesIncomplete, "`broker-c` refuses: closed: the changes are 0 MiB"),
        (LinkTimeout("late"), LinkTimeout, "late: whether `broker-c` has made the changes is not known"),
    ],
)
def test_who_has_changed_before_another_broker_fails_is_told(monkeypatch, failure, kind, told):
    """Also where it takes no more: brokers of one cluster need not have the same way to go."""
    monkeypatch.setattr(changes, "_MANY", 0)

    with pytest.raises(kind) as caught:
        apply_at(brokers(None, None, failure), [CHANGE, CHANGE, CHANGE])

    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith("; changed already: `broker-a`, `broker-b`")
