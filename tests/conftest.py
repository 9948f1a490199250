"""Settings of hypothesis, and fixtures for the session, for all tests."""

import os

from hypothesis import HealthCheck, settings

from tests.fixtures.apache import apache_cluster, open_apache_cluster

__all__ = ["apache_cluster", "open_apache_cluster"]

# A busy machine may be slow at any moment, so no test has a deadline or fails for slow data.
settings.register_profile("fast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("fast"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
