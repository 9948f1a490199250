"""Commands that build large trees once."""

import functools
import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def uncollected(command: Callable[P, T]) -> Callable[P, T]:
    """Run a command without the collector of cycles.

    It would look again and again through all the users and entries that were read, and find no garbage among them: most
    of the time that a large policy file takes.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        was_on = gc.isenabled()
        gc.disable()
        try:
            return command(*args, **kwargs)
        finally:
            if was_on:
                gc.enable()

    return wrapped
