"""A policy file for tests of commands."""

import pytest


@pytest.fixture
def policy(request, tmp_path):
    """Write the `POLICY` of the test file to a policy file, and return its path."""
    path = tmp_path / "policy.yaml"
    path.write_text(request.module.POLICY)
    return path
