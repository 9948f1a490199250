"""Python's cycle collector, disabled while code creates thousands of objects without cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Disable the collector for a block or a function that reads or writes many thousand entries.

    The collector would search all of them repeatedly, which more than doubles the time, and find nothing: users and
    entries have no cycles.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
