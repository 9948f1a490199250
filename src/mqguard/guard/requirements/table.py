"""The table: what every request code needs. A code that is not here is refused to all but Super users."""

from collections.abc import Mapping
from types import MappingProxyType

from mqguard.guard.requirements import clients, groups, messages, operations, pop, topics
from mqguard.guard.requirements.row import Requirement

TABLE: Mapping[int, Requirement] = MappingProxyType(
    {
        **messages.ROWS,
        **clients.ROWS,
        **topics.ROWS,
        **groups.ROWS,
        **pop.ROWS,
        **operations.ROWS,
    }
)
"""Every row, by request code."""
