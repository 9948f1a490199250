"""Settings of hypothesis, and fixtures for the session, for all tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.fixtures.apache import apache_cluster, open_apache_cluster

__all__ = ["apache_cluster", "open_apache_cluster"]

APACHE_GROUP = "apache-cluster"
NODE_ID = "_id"
"""The attribute in which pytest keeps the id of a test."""

# A busy machine may be slow at any moment, so no test has a deadline or fails for slow data.
settings.register_profile("fast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("fast"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of the shared cluster to one worker. Any other would start the cluster again.

    Groups had no effect, because pytest-xdist 3.8 marks them in an attribute that pytest 9.2 does not read.
    """
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and group.args == (APACHE_GROUP,) and not item.nodeid.endswith(f"@{APACHE_GROUP}"):
            setattr(item, NODE_ID, type(item.id).parse(f"{item.nodeid}@{APACHE_GROUP}"))
