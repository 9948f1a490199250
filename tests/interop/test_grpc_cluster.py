"""Official gRPC clients on a cluster of Apache RocketMQ 5.5.0, through `mqguard proxy`.

The cases are those of other modules, with a server of this one. They are the ones in which brokers differ most: pop in
order, delays, transactions with checks, retries and dead letters, lite topics, refusals.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.access import ADMIN, read_all
from tests.fixtures.apache import ApacheCluster
from tests.fixtures.server import INNER, GuardProxy
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import Wire
from tests.interop.driver import Driver
from tests.interop.grpc_clients import COMMANDS, QUICK, Access, GrpcClient, sender, started
from tests.interop.test_grpc_consumers import (  # noqa: F401 - collected here, with the server of this module
    push,
    test_a_failing_message_of_an_ordered_group_is_dead_after_the_last_attempt,
    test_a_push_consumer_gets_what_its_filter_matches,
    test_a_wrong_filter_is_a_clear_error,
)
from tests.interop.test_grpc_messages import (  # noqa: F401 - see above
    test_a_delayed_message_arrives_in_time_and_a_recalled_one_never,
    test_a_group_of_messages_keeps_its_order,
    test_a_message_is_recalled_by_users_of_its_topic_only,
    test_a_transaction_without_result_is_checked_until_it_has_one,
    test_all_fields_of_a_message_arrive,
    test_lite_topics_are_consumed_by_their_subscribers_alone,
    test_messages_of_higher_priority_arrive_first,
    test_transactions_end_as_the_producer_says,
)
from tests.interop.test_grpc_refusals import (  # noqa: F401 - see above
    test_a_producer_that_loses_its_right_is_refused_at_once,
    test_a_user_who_may_only_consume_cannot_send,
)

pytestmark = pytest.mark.xdist_group("apache-cluster")


@pytest.fixture(scope="module")
def server(apache_cluster: ApacheCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardProxy]:
    """Start a guard in front of a cluster with ACL 2.0, which knows the guard's user only."""
    settings = {**INNER, **{key: value for key, value in QUICK.items() if not key.startswith("transaction")}}
    with GuardProxy(tmp_path_factory.mktemp("guard"), apache_cluster.namesrv, settings=settings) as guard:
        yield guard


@pytest.fixture(scope="module", params=list(COMMANDS))
def grpc_driver(
    request: pytest.FixtureRequest, server: GuardProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    """Start the driver of each client, in the one process that has the cluster."""
    with started(request.param, tmp_path_factory.mktemp(f"grpc-{request.param}")) as driver:
        yield driver
        driver.kill()


@pytest.mark.parametrize("grpc_driver", ["java"], indirect=True)
def test_no_acknowledged_message_is_lost_when_guard_and_broker_are_killed(
    grpc: GrpcClient, access: Access, server: GuardProxy, apache_cluster: ApacheCluster
) -> None:
    topic = access.topic()
    producer, handle = sender(grpc, access, topic)
    producer.do("flood", handle=handle, topic=topic, body="m")

    def acknowledged() -> int:
        return len(producer.do("flooded", handle=handle)["acknowledged"])

    assert eventually(lambda: acknowledged() >= 100, 60)
    for killed in (server, apache_cluster.broker):
        killed.kill()
        killed.start()
        survivors = acknowledged()
        assert eventually(lambda before=survivors: acknowledged() >= before + 100, 120, pause=0.1)
    flooded = producer.do("flooded", handle=handle, last=True)
    with Wire(server.broker_port, ADMIN) as admin:
        stored = [body.decode() for queue in range(4) for body in read_all(admin, topic, "TOOLS_CONSUMER", queue)]
    assert set(flooded["acknowledged"]) <= set(stored)
