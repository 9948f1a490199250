"""Bodies of statistics (315)."""

from mqguard.remoting.bodies.codec import Body


class StatisticItem(Body):
    """A statistic in one window.

    Attributes:
        sum: The sum.
        tps: The sum per second.
        avgpt: The sum per request.
    """

    sum: int
    tps: float
    avgpt: float


class StatisticBody(Body):
    """Answer of 315."""

    stats_minute: StatisticItem
    stats_hour: StatisticItem
    stats_day: StatisticItem
