"""What all tests share: how hard hypothesis tries."""

import os

from hypothesis import HealthCheck, settings

# A slow moment of a busy machine is no fault of the code: no deadlines, no complaint about slow data.
settings.register_profile("fast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("fast"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
