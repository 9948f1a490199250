"""Decisions of mqguard are compared with those of Apache's own auth module, on scenarios that are new in every run.

A failure has the seed and the scenario; `tools/against_apache.py` runs them again, and many more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.auth_module.belonging import RULES
from tests.interop.auth_module.decisions import compare_decisions, scenarios_of
from tests.interop.auth_module.needs import UNORDERED, codes, compare_contexts
from tests.interop.auth_module.operations import OPERATIONS, compare_changes
from tests.interop.auth_module.peer import AuthModule, quick_directory
from tests.interop.auth_module.readings import RULES as READING
from tests.interop.auth_module.readings import compare_readings
from tests.interop.auth_module.rpcs import compare_calls
from tests.interop.auth_module.rules import OURS
from tests.interop.auth_module.signatures import ALONE, compare_signatures
from tests.interop.toolchain import java_auth_module
from tests.vectors.reading import lines

pytestmark = pytest.mark.xdist_group("java-auth-module")

DECISIONS = 20_000
CONTEXTS = 6_000
CALLS = 3_000
CHANGES = 3_000
READINGS = 6_000
SIGNATURES = 4_000
REPLAYED = 10
"""Divisor of the number of recorded lines that are replayed."""
SEED = random.SystemRandom().getrandbits(32)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthModule]:
    """Start the module in a process of its own."""
    log = tmp_path_factory.mktemp("auth-module") / "module.log"
    with quick_directory() as home, AuthModule(java_auth_module(Path(home)), log) as running:
        yield running


def test_every_difference_of_decisions_is_one_of_the_named_rules(module: AuthModule) -> None:
    """Apache decides by Apache's rules and mqguard by its own, for each denied and each allowed request."""
    found = compare_decisions(module, SEED, range(scenarios_of(DECISIONS)))

    assert found["all"] == DECISIONS
    # The scenarios are useful: both outcomes are common, and every rule causes a difference.
    assert DECISIONS // 10 < found["allow"] < DECISIONS // 2
    assert {name for name in found if name in OURS} == OURS


def test_every_request_leads_to_apaches_checks_or_to_others_by_named_rules(module: AuthModule) -> None:
    """The expected checks of a request follow from Apache's checks, and equal those of the guard."""
    found = compare_contexts(module, codes(module), SEED, range(CONTEXTS))

    assert found["all"] == CONTEXTS
    assert found["same"] > CONTEXTS * 2 // 5
    assert set(found) - {"all", "same"} <= RULES.keys()
    assert {"no-check", "missing-field", "owned-topic", "foreign-retry-topic", "topic-for-group"} <= set(found)


def test_every_call_leads_to_apaches_checks_or_to_others_by_named_rules(module: AuthModule) -> None:
    """The checks of gRPC calls follow from Apache's checks, too."""
    found = compare_calls(module, SEED, range(CALLS))

    assert found["all"] == CALLS
    assert found["same"] > CALLS // 3
    assert set(found) - {"all", "same"} <= RULES.keys()
    assert {"no-check", "owned-topic", "unchecked-topic", "every-client", "every-message"} <= set(found)


def test_texts_are_read_alike_or_differ_by_named_rules(module: AuthModule) -> None:
    """Resources, subjects, source addresses and words mean the same for both, or are refused by a rule of mqguard."""
    found = compare_readings(module, SEED, range(READINGS))

    assert found["all"] == READINGS
    assert READINGS // 2 < found["read"] < found["same"]
    assert set(found) - {"all", "same", "read"} == READING.keys()


def test_users_and_policies_change_alike(module: AuthModule) -> None:
    """Every change has the same outcome and message for both, and the stored state is the same at the end."""
    found = compare_changes(module, SEED, range(CHANGES // OPERATIONS))

    assert found["all"] == CHANGES
    assert CHANGES // 3 < found["done"] < CHANGES * 9 // 10


def test_signatures_are_created_read_and_verified_alike(module: AuthModule) -> None:
    """The signed bytes and the authenticated users are the same for both; a refusal may have a shorter message."""
    found = compare_signatures(module, SEED, range(SIGNATURES))

    assert found["all"] == SIGNATURES
    assert SIGNATURES // 5 < found["believed"] < SIGNATURES // 2
    assert found[ALONE]


@pytest.mark.parametrize("kind", ["decisions", "contexts", "signatures"])
def test_the_module_answers_as_recorded(module: AuthModule, kind: str) -> None:
    """The recorded outcomes are those of this module, and it gets the scenarios in the same way as then."""
    recorded = [line for line in lines(kind) if _is_askable(kind, line)][SEED % REPLAYED :: REPLAYED]
    assert len(recorded) > 50

    for line, answer in module.answers(kind, recorded):
        match kind:
            case "decisions":
                assert answer["requests"] == [request["outcome"] for request in line["requests"]], line["id"]
            case "contexts":
                assert _in_order(line, answer) == _in_order(line, line["out"]), line
            case _:
                assert answer == {part: line[part] for part in answer}, line


def _is_askable(kind: str, line: dict[str, Any]) -> bool:
    """True if the module can answer it here, since clients sign without a typed header."""
    return kind == "decisions" or (line["what"] != "signer" and line.get("header") is None)


def _in_order(line: dict[str, Any], checks: Any) -> Any:
    if line.get("code") not in UNORDERED or not isinstance(checks, list):
        return checks
    return sorted(checks, key=lambda check: json.dumps(check, sort_keys=True))
