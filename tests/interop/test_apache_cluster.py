"""The cluster of Apache RocketMQ that other tests share."""

from __future__ import annotations

import pytest

from tests.fixtures.access import ADMIN
from tests.fixtures.apache import ApacheCluster
from tests.fixtures.wire import LIST_USERS, User, Wire

pytestmark = pytest.mark.xdist_group("apache-cluster")


def test_the_shared_cluster_checks_signatures(apache_cluster: ApacheCluster) -> None:
    with Wire(apache_cluster.broker_port, ADMIN) as admin:
        assert admin.call(LIST_USERS, {"filter": ""}).code == 0
    with Wire(apache_cluster.broker_port, User(ADMIN.name, "wrong")) as stranger:
        assert stranger.call(LIST_USERS, {"filter": ""}).code == 16
