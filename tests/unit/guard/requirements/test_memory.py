"""What was worked out before is remembered, within bounds."""

from mqguard.guard.requirements import memory, messages
from mqguard.remoting.command import Command


def test_a_full_memory_starts_anew(monkeypatch):
    """It never holds more than its limit."""
    monkeypatch.setattr(memory, "LIMIT", 2)
    known = memory.Memory()
    for number in range(3):
        known.put(number, str(number))

    assert known.get(0) is None
    assert known.get(2) == "2"


def test_the_same_send_gives_the_same_needs():
    """Not only equal ones: what is on record tells them apart by identity."""
    rule = messages.send("b")

    assert rule(Command(310, ext={"b": "t"})) is rule(Command(310, ext={"b": "t"}))


def test_names_longer_than_any_legal_one_are_not_remembered():
    """A peer must not fill our memory with names that it makes up."""
    rule = messages.send("b")
    long = "t" * (memory.LONGEST + 1)

    assert rule(Command(310, ext={"b": long})) is not rule(Command(310, ext={"b": long}))
    pull = messages.as_group(messages.SUB)
    command = Command(11, ext={"topic": "t", "consumerGroup": long})
    assert pull(command) is not pull(command)
