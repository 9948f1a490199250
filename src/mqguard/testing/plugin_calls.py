"""Calls plugins as a server does: from several threads, and not for ever."""

import concurrent.futures
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 5.0
"""How long anything may take in a contract suite."""
QUICK_S = 0.001
"""How long a plugin that calls itself quick may take for an answer, in the mean."""


def call_in_time(call: Callable[[], T]) -> T | Exception:
    """What a call returns or raises.

    Raises:
        AssertionError: It does not come back, or ends with something that is no `Exception`.
    """
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(call).result(LIMIT_S)
    except concurrent.futures.TimeoutError as exc:
        raise AssertionError(f"the plugin did not answer within {LIMIT_S} s") from exc
    except Exception as exc:  # noqa: BLE001 - plugins may raise any error
        return exc
    finally:
        pool.shutdown(wait=False)


def call_together(calls: Sequence[Callable[[], T]], threads: int = 8) -> list[T]:
    """What calls return that are made in several threads at once, in order."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return [future.result(LIMIT_S) for future in [pool.submit(call) for call in calls]]


def mean_seconds(call: Callable[[], object], times: int = 200) -> float:
    """How long a call takes in the mean."""
    call()
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def is_quick(plugin: object) -> bool:
    """What a plugin says of itself."""
    quick = getattr(plugin, "quick", False)
    assert isinstance(quick, bool), "`quick` must be True or False"  # noqa: S101 - part of the suites
    return quick
