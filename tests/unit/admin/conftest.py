"""One server for all tests of administration over the wire."""

import pytest

from mqguard.admin.client import Client
from mqguard.admin.session import ConnectionOptions
from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials
from tests.fixtures.server import SUPER, SUPER_SECRET, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("admin-server")) as started:
        yield started


@pytest.fixture
def admin(server):
    with Client(server.namesrv, ConnectionOptions(Credentials(SUPER, Secret(SUPER_SECRET)))) as client:
        yield client
