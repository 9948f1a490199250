"""Requests leave nothing behind: no object and no byte stays once a request is answered, refused, or given up.

Most objects on the hot path are hidden from the collector of cycles, which neither counts nor frees them. The number of
allocated blocks counts them all.
"""

import dataclasses
import gc
import itertools
import json
import sys

import pytest

from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins
from mqguard.guard.plugin_api import HandlerResult
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import FLAG_ONEWAY
from tests.fixtures.links import DiscardingLink
from tests.unit.broker.conftest import House
from tests.unit.broker.test_any_input import GOOD, STRICT, USUAL
from tests.unit.dispatch.test_suspended import ON, PluginHouse
from tests.unit.namesrv.conftest import Directory

ROUNDS = 4
FEW_DENIALS = {"denials_kept": 10}
FEW_DENIALS_ON = dataclasses.replace(ON, **FEW_DENIALS)
MEMORY_OF_MESSAGES_MS = 80 * 3_600_000
USERS = ("rich", "some", "root", "stranger", None)
BODIES = (json.dumps(GOOD).encode(), json.dumps(STRICT[1]).encode(), b"x")
PULL = {
    "consumerGroup": "g", "topic": "t", "queueId": 0, "queueOffset": 0, "maxMsgNums": 32, "sysFlag": 6,
    "commitOffset": 0, "suspendTimeoutMillis": 20_000, "subscription": "*", "subVersion": 0,
}  # fmt: skip


class Agreeing:
    """A plugin that has nothing against any request."""

    def check(self, *_question):
        return HandlerResult.NEXT


def with_handler(*, quick):
    plugin = InstalledPlugin("agreeing", Agreeing(), quick)
    installed = InstalledPlugins(authentication_handlers=(plugin,), authorization_handlers=(plugin,))
    return PluginHouse(installed, FEW_DENIALS_ON)


def served(house, link, command):
    house.app.commands(link, [command])
    while getattr(house, "plugins", None) and house.plugins.waiting:
        house.plugins.step()
    house.app.end_of_iteration()


def too_late(house, link, command):
    house.app.commands(link, [command])
    while house.plugins.waiting:
        house.plugins.step(answer=False)
    house.app.end_of_iteration()


def closed_early(house, link, command):
    """Close the connection while its request waits for a plugin."""
    house.app.commands(link, [command])
    link.closed = True
    house.app.closed(link)
    while house.plugins.waiting:
        house.plugins.step()
    house.app.end_of_iteration()


KINDS = {
    "without plugins": (lambda: House(guard=FEW_DENIALS), served),
    "name server": (lambda: Directory(guard=FEW_DENIALS), served),
    "plugin that answers at once": (lambda: with_handler(quick=True), served),
    "plugin that is waited for": (lambda: with_handler(quick=False), served),
    "plugin that is too late": (lambda: with_handler(quick=False), too_late),
    "client that leaves meanwhile": (lambda: with_handler(quick=False), closed_early),
    "plugin that decides": (lambda: PluginHouse(settings=FEW_DENIALS_ON), served),
}


def furnish(house):
    """Create the topic, the group and the users of the requests again."""
    for name, entries in (("rich", [("*", "All")]), ("some", [("Topic:t", "Pub,Sub"), ("Group:g", "Sub")])):
        if name not in {user.name for user in house.manager.list_users()}:
            house.user(name, *entries)
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.groups.with_retry_topic("g")
    house.engine.group_commit.commit()


def tidy(house):
    """Remove all that is kept on purpose: messages, denials, and audit records in the test's own sink."""
    for _ in range(3):
        house.tick(MEMORY_OF_MESSAGES_MS)
    house.audit.close(house.clock.now_ms())
    house.sink.clear()
    furnish(house)


def blocks():
    gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.parametrize(("make", "ask"), list(KINDS.values()), ids=list(KINDS))
def test_requests_of_every_code_leave_nothing_behind(make, ask):
    house = make()
    furnish(house)
    numbers = itertools.count(1)

    def play():
        count = 0
        for code, user, body in itertools.product(sorted(house.app.codes), USERS, BODIES):
            count += 1
            link = DiscardingLink(next(numbers))
            house.app.connected(link)
            ask(house, link, house.command(code, USUAL, body, user=user, flag=FLAG_ONEWAY if count % 5 == 0 else 0))
            link.closed = True
            house.app.closed(link)
        tidy(house)
        return count

    play()
    play()
    before = blocks()
    requests = sum(play() for _ in range(ROUNDS))

    assert blocks() - before < requests / 4


@pytest.mark.parametrize("end", ["leaves", "times out", "is served"])
@pytest.mark.parametrize("make", [House, lambda: with_handler(quick=True)], ids=["without plugins", "with a plugin"])
def test_suspended_pulls_leave_nothing_behind(make, end):
    house = make()
    furnish(house)
    numbers = itertools.count(1)

    def play():
        links = [DiscardingLink(next(numbers)) for _ in range(100)]
        offset = house.engine.max_offset("t", 0)
        for link in links:
            house.app.connected(link)
            served(house, link, house.command(11, {**PULL, "queueOffset": offset}, user="rich"))
        assert house.broker.pending.waiting_pulls == 100
        if end == "times out":
            house.tick(21_000)
        elif end == "is served":
            sender = DiscardingLink(next(numbers))
            served(house, sender, house.command(310, {**USUAL, "b": "t"}, b"x", user="root"))
            house.app.closed(sender)
        for link in links:
            link.closed = True
            house.app.closed(link)
        house.app.end_of_iteration()
        assert house.broker.pending.waiting_pulls == 0
        house.sink.clear()

    play()
    tidy(house)
    before = blocks()
    for _ in range(10):
        play()
    tidy(house)

    assert blocks() - before < 100
