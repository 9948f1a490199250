"""The usual world of the guard's tests."""

import pytest

from mqguard.auth.manager import MetadataManager
from tests.unit.guard.world import World


@pytest.fixture(name="world")
def a_world():
    """Return a guard with a user that may send to one topic."""
    world = World()
    world.allow("alice", "Topic:orders", "Pub")
    return world


@pytest.fixture(name="break_users")
def break_the_users(monkeypatch):
    """Return a function after which users and policies cannot be read."""

    def unreadable(manager):
        raise RuntimeError("the disk is on fire")

    return lambda: monkeypatch.setattr(MetadataManager, "snapshot", property(unreadable))
