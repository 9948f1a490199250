"""Health of a process: its state, and the reasons for which it should get no clients."""

import enum
import logging
from collections.abc import Callable

_LOG = logging.getLogger(__name__)

Problem = Callable[[], str | None]
"""Returns the reason for which the process cannot serve clients, None without one. It must not block."""


class State(enum.Enum):
    """The state of a process."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Health:
    """The health of a process.

    Args:
        role: The kind of the process, such as `broker`.

    Attributes:
        role: The kind of the process.
        state: The state of the process.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.state = State.STARTING
        self._checks: dict[str, Problem] = {}

    def add(self, name: str, problem: Problem) -> None:
        """Add a check.

        Args:
            name: The name of the check, a fixed word.
            problem: The check.
        """
        self._checks[name] = problem

    def problems(self) -> dict[str, str]:
        """Return the reason of each failed check, by its name; empty if the process can serve clients."""
        found = {}
        if self.state is not State.SERVING:
            found["state"] = f"the server is {self.state.value}"
        for name, check in self._checks.items():
            problem = _run(name, check)
            if problem:
                found[name] = problem
        return found

    def is_ready(self) -> float:
        """Return 1 if the process can serve clients, else 0."""
        return float(not self.problems())

    def results(self) -> dict[str, Callable[[], float]]:
        """Return for each check a function that returns 1 if it succeeds, else 0."""

        def result(name: str) -> Callable[[], float]:
            return lambda: float(name not in self.problems())

        return {name: result(name) for name in ("state", *self._checks)}


def _run(name: str, check: Problem) -> str | None:
    try:
        return check()
    except Exception:  # noqa: BLE001 - a check that fails must not look like a success
        _LOG.exception("the health check `%s` failed: internal error", name)
        return "the check failed: internal error, see the log of the server"
