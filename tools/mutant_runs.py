"""Runs of tests against mutants, each in its own process, forked from one that has loaded the tools already."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import importlib.abc
import importlib.machinery
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from types import CodeType, ModuleType

from mutants import Mutant, compile_mutant

TOOLS = (
    "pytest",
    "_pytest.assertion.rewrite",
    "hypothesis",
    "hypothesis.strategies",
    "msgspec",
    "yaml",
    "cryptography",
)
OPTIONS = ("-x", "-q", "-p", "no:randomly", "-p", "no:xdist", "-o", "timeout=0", "-k", "not every_pair")
QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
ENVIRONMENT = {
    "HYPOTHESIS_PROFILE": "mutation",
    "MQGUARD_EXAMPLES": "25",
    "MQGUARD_DECISIONS": "28800",
    "MQGUARD_SEED": "1",
}
"""Settings of the properties: few examples, and the same ones each time."""
MEMORY = 4 << 30
"""Maximum memory of a mutant, in bytes."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One mutant, and the tests that should notice it.

    Attributes:
        mutant: The mistake.
        module: The dotted name of its module.
        source: The source of the module without the mistake.
        path: The file of the module.
        tests: The files with the tests, in order.
        seconds: The time of the tests without a mistake.
    """

    mutant: Mutant
    module: str
    source: str
    path: str
    tests: list[str]
    seconds: float


def preload(directory: str) -> None:
    """Load the tools that every process needs and no mutant changes.

    Args:
        directory: The directory for the files of the tests; no other program uses it.
    """
    os.environ |= ENVIRONMENT | {"PYTEST_DEBUG_TEMPROOT": directory}
    for name in TOOLS:
        importlib.import_module(name)
    hypothesis = importlib.import_module("hypothesis")
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    checks = list(hypothesis.HealthCheck)
    settings = hypothesis.settings
    settings.register_profile(
        "mutation",
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=checks,
    )
    loaded = [name for name in sys.modules if name.split(".")[0] == "mqguard"]
    if loaded:
        raise RuntimeError(f"`{loaded[0]}` is loaded before it is mutated")
    gc.collect()
    gc.freeze()


def measure(module: str, tests: list[str]) -> float | None:
    """Return the time of the tests without a mistake in seconds; None if they fail."""
    started = time.monotonic()
    child = _fork(lambda: _test(module, None, tests, 600))
    return time.monotonic() - started if os.waitpid(child, 0)[1] == 0 else None


def run_all(runs: list[Run], jobs: int) -> list[Mutant]:
    """Run the tests against every mutant, and return the unnoticed ones in order."""
    waiting = list(reversed(runs))
    running: dict[int, tuple[Run, float]] = {}
    survivors: list[Mutant] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop()
                running[_start(run)] = run, time.monotonic() + 20 * run.seconds + 20
            child, status = os.waitpid(-1, os.WNOHANG)
            if child:
                run, _ = running.pop(child)
                if status == 0:
                    survivors.append(run.mutant)
                continue
            for child, (_, end) in running.items():
                if time.monotonic() > end:
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.005)
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)
    return sorted(survivors, key=lambda mutant: mutant.number)


def _start(run: Run) -> int:
    def work() -> int:
        code = compile_mutant(run.source, run.mutant.number, run.path)
        # A limit of processor time, because other programs may be busy too. It ends an endless loop.
        return _test(run.module, code, run.tests, int(3 * run.seconds + 5))

    return _fork(work)


def _fork(work: Callable[[], int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    with contextlib.suppress(BaseException):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nowhere, standard)
        status = work()
    os._exit(status)


def _test(module: str, code: CodeType | None, tests: list[str], seconds: int) -> int:
    """Run the tests in this process with the code instead of the module, and return 0 if they pass."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if code is not None:
        sys.meta_path.insert(0, _Instead(module, code))
    random.seed(0)
    pytest = importlib.import_module("pytest")
    return int(pytest.main([*OPTIONS, *QUIET, *tests]))


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that finds the mutant instead of its module."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module = module
        self._code = code

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=self._code.co_filename)
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)
