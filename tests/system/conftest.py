"""One running server for each file of tests that needs no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.command import Run, run_as
from tests.fixtures.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory as a system test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a standalone server with default settings."""
    with Server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def admin(server: Server, tmp_path: Path) -> Run:
    """Return a function that runs commands of the Super user in the directory of the test."""
    return run_as(server, directory=tmp_path)
