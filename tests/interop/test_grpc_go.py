"""The official Go client of gRPC, with TLS as it is by default."""

from __future__ import annotations

import pytest

from tests.fixtures.server import Server
from tests.interop import grpc_cases as cases
from tests.interop import grpc_refusals as refusals
from tests.interop.conftest import Drivers
from tests.interop.driver import Driver
from tests.interop.grpc_client import GrpcUser
from tests.interop.toolchain import BUILD_SECONDS

pytestmark = [pytest.mark.xdist_group("grpc-go"), pytest.mark.timeout(BUILD_SECONDS + 300)]

SERVER_SETTINGS = cases.SERVER_SETTINGS
rights, simple, insiders = cases.rights, cases.simple, refusals.insiders


@pytest.fixture(scope="module", autouse=True)
def driver(drivers: Drivers) -> Driver:
    """Return the driver of the Go client, built before the server is started and connections are opened."""
    return drivers.get("grpc-go")


@pytest.fixture
def client(driver: Driver, server: Server) -> GrpcUser:
    """Return the Super user with the Go client."""
    return GrpcUser(driver, server.grpc)


class TestProducers(cases.ProducerCases):
    """Producers."""


class TestTransactions(cases.TransactionCases):
    """Producers of transactions."""


class TestTimers(cases.TimerCases):
    """Recalled messages, and priorities."""


class TestSimpleConsumers(cases.SimpleConsumerCases, cases.ChangeCases):
    """Simple consumers."""


class TestPushConsumers(cases.PushConsumerCases):
    """Push consumers."""


class TestLite(cases.LiteCases):
    """Lite topics."""


class TestRefusals(refusals.RefusalCases, refusals.PushRefusalCases):
    """Users who are refused."""
