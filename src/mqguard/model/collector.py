"""Python's collector of cycles, out of the way where thousands of objects are made that hold none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """A time, or before a function its run, without the collector, for reading or writing many thousand entries.

    It would look through all of them again and again, which more than doubles the time, and find nothing: users and
    entries hold no cycles.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
