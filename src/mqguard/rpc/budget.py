"""Budgets: amounts that a peer may use up, and that come back with time."""


class Budget:
    """An amount that is refilled evenly.

    Args:
        capacity: Maximum amount, available at the start.
        per_second: Amount that comes back in a second.
    """

    __slots__ = ("_capacity", "_left", "_per_second", "_refilled")

    def __init__(self, capacity: float, per_second: float) -> None:
        self._capacity = capacity
        self._per_second = per_second
        self._left = capacity
        self._refilled = 0.0

    def use(self, amount: float, now: float) -> bool:
        """Use an amount; return False if less is left.

        Args:
            amount: The amount.
            now: Seconds of a clock that never falls.
        """
        if now > self._refilled:
            self._left = min(self._capacity, self._left + (now - self._refilled) * self._per_second)
            self._refilled = now
        self._left -= amount
        return self._left >= 0

    def add(self, amount: float) -> None:
        """Give an amount back, up to the capacity."""
        self._left = min(self._capacity, self._left + amount)
