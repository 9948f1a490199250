"""The Java client 4.2.0 sends to the VIP channel by default, and needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.server import Server
from tests.interop.conftest import DrivenClient, Drivers
from tests.interop.toolchain import OLD_JAVA_CLIENT


@pytest.fixture(params=["true", "false"], ids=["served", "not served"])
def client(request: pytest.FixtureRequest, drivers: Drivers, tmp_path: Path) -> Iterator[DrivenClient]:
    """Return the client at a server with and without the VIP channel."""
    with Server(tmp_path, settings={"vipChannelEnable": request.param}) as server:
        yield DrivenClient(drivers.get(OLD_JAVA_CLIENT), server)
        drivers.close_clients()


def test_it_sends_only_where_the_vip_channel_is_served(client: DrivenClient, request: pytest.FixtureRequest) -> None:
    answer = client.call("send", topic="orders", body="over the VIP channel")
    assert answer["ok"] is ("not served" not in request.node.name), answer
