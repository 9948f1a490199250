"""Pages of a table that may be too large for one frame; 5.4 clients ask for them, older ones for the whole."""

from typing import TypeVar

T = TypeVar("T")


def page_of(items: list[T], first: int | None, most: int | None) -> tuple[list[T], int | None]:
    """The page asked for, and how many there are in all; None where the whole was asked for.

    Args:
        items: All, in an order that stays.
        first: Position of the first one wanted, None for the whole.
        most: How many at most, None or not positive for the whole.
    """
    if first is None or most is None or most <= 0:
        return items, None
    start = max(0, first)
    return items[start : start + most], len(items)
