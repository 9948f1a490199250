"""What we decide compared with Apache's own auth module, live, on scenarios that are new in every run.

A failure names the seed and the scenario; `tools/against_apache.py` tries them again, and many more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.auth_module.decisions import compare_decisions, scenarios_of
from tests.interop.auth_module.peer import AuthModule, quick_directory
from tests.interop.auth_module.rules import OURS
from tests.interop.toolchain import java_auth_module

pytestmark = pytest.mark.xdist_group("java-auth-module")

DECISIONS = 20_000
SEED = random.SystemRandom().getrandbits(32)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthModule]:
    """The module in a process of its own."""
    log = tmp_path_factory.mktemp("auth-module") / "module.log"
    with quick_directory() as home, AuthModule(java_auth_module(Path(home)), log) as running:
        yield running


def test_every_difference_of_decisions_is_one_of_the_named_rules(module: AuthModule) -> None:
    """Apache decides by Apache's rules and we by ours, refusal by refusal and allowance by allowance."""
    found = compare_decisions(module, SEED, range(scenarios_of(DECISIONS)))

    assert found["all"] == DECISIONS
    # The scenarios are worth something: both outcomes are common, and every rule makes a difference somewhere.
    assert DECISIONS // 10 < found["allow"] < DECISIONS // 2
    assert {name for name in found if name in OURS} == OURS
