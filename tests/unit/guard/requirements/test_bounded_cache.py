"""What was worked out before is remembered, within bounds."""

import pytest

from mqguard.guard.requirements import bounded_cache
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.remoting.command import Command


def test_a_full_memory_starts_anew(monkeypatch):
    """It never holds more than its limit."""
    monkeypatch.setattr(bounded_cache, "LIMIT", 2)
    known = bounded_cache.BoundedCache()
    for number in range(2):
        known.put(number, str(number))
    assert [known.get(number) for number in range(2)] == ["0", "1"]

    known.put(2, "2")

    assert [known.get(number) for number in range(3)] == [None, None, "2"]


NAMES = {10: ("topic",), 310: ("b",), 11: ("topic", "consumerGroup"), 14: ("topic", "consumerGroup")}
NAMES |= dict.fromkeys((200050, 200051, 200053, 200055), ("topic", "consumerGroup"))
"""What is asked for often, and the fields that it names things in."""


@pytest.fixture(name="requirements")
def fresh_requirements():
    return Requirements("c")


@pytest.mark.parametrize("code", NAMES)
def test_the_same_request_gives_the_same_needs(code, requirements):
    """Not only equal ones: what is on record tells them apart by identity. Names of the greatest legal length too."""
    for length in (1, 255):
        ext = dict.fromkeys(NAMES[code], "t" * length)

        assert requirements.needs(Command(code, ext=ext)) is requirements.needs(Command(code, ext=dict(ext)))


@pytest.mark.parametrize(("code", "field"), [(code, field) for code, fields in NAMES.items() for field in fields])
def test_names_longer_than_any_legal_one_are_not_remembered(code, field, requirements):
    """A peer must not fill our memory with names that it makes up."""
    ext = {**dict.fromkeys(NAMES[code], "t"), field: "t" * 256}
    once, again = (requirements.needs(Command(code, ext=ext)) for _ in range(2))

    assert once == again
    assert once is not again
