"""State and configuration of the broker (25, 26, 28, 315)."""

import logging
import math
from collections.abc import Callable, Mapping

from mqguard import __version__
from mqguard.broker.settings import BrokerSettings, ExposedConfiguration
from mqguard.broker.statistics import Statistics
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.topics import SCHEDULE_QUEUES
from mqguard.model.names import SCHEDULE_TOPIC, TIMER_TOPIC
from mqguard.model.process import Clock
from mqguard.model.text import visible
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.statistics import StatisticBody, StatisticItem
from mqguard.remoting.bodies.topics import DataVersionBody, KvBody
from mqguard.remoting.codes import SERVER_VERSION, RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.topics import StatisticHeader

_LOG = logging.getLogger(__name__)

VERSION_TEXT = "V5_5_0"
"""Text that tools show for `SERVER_VERSION`."""

_UNUSED = (
    "dispatchBehindBytes",
    "dispatchMaxBuffer",
    "pageCacheLockTimeMills",
    "putMessageFailedTimes",
    "remainTransientStoreBufferNumbs",
    "startAcceptSendRequestTimeStamp",
    "timerCongestNum",
    "timerOffsetBehind",
    "timerReadBehind",
)
"""Queues and lags that this broker does not have. They are always 0."""
_POOLS = ("send", "pull", "litePull", "query", "ack")
"""Thread pools of Apache's broker. This broker serves a request when it arrives, so no request waits in a pool."""
_POOL_CAPACITY = "10000"


class StatusProcessor:
    """Handlers for the state and the configuration of the broker.

    Args:
        engine: Engine, which has the messages.
        clients: The connected clients.
        statistics: Statistics, with totals and rates.
        configuration: Configuration that can be read and changed over the wire.
        settings: See `BrokerSettings`.
        clock: Clock.
        metrics: Function that returns all metrics as texts, by name and labels.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        statistics: Statistics,
        configuration: ExposedConfiguration,
        settings: BrokerSettings,
        clock: Clock,
        metrics: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._engine = engine
        self._clients = clients
        self._statistics = statistics
        self._configuration = configuration
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._started_ms, self._started_monotonic_ms = clock.now_ms(), clock.monotonic_ms()

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.UPDATE_BROKER_CONFIG: self.configure,
            RequestCode.GET_BROKER_CONFIG: self.configured,
            RequestCode.GET_BROKER_RUNTIME_INFO: self.runtime,
            RequestCode.VIEW_BROKER_STATS_DATA: self.stats,
        }

    def configure(self, request: Request) -> Reply:
        """Change keys of the configuration (25)."""
        for key, value in self._configuration.change(request.command.body).items():
            _LOG.warning(
                "User:%s has set `%s = %s` until the server stops: write it in the configuration file to keep it",
                visible(request.access.user),
                key,
                visible(value),
            )
        return Reply()

    def configured(self, request: Request) -> Reply:
        """Return the configuration without its secrets (26)."""
        del request
        version = encode(DataVersionBody(counter=self._configuration.changes)).decode()
        return Reply(ext={"version": version}, body=self._configuration.text().encode())

    def runtime(self, request: Request) -> Reply:
        """Return the state of the broker (28), under the names that Apache's tools read, and its metrics."""
        del request
        return Reply(body=encode(KvBody(table={**self._metrics(), **self._table()})))

    def stats(self, request: Request) -> Reply:
        """Return a statistic in the windows of a minute, an hour and a day (315)."""
        header = read(request.command.ext, StatisticHeader)
        view = self._statistics.view(header.stats_name, header.stats_key)
        if view is None:
            raise RequestRefused(
                ResponseCode.SYSTEM_ERROR, f"The stats <{header.stats_name}> <{header.stats_key}> not exist"
            )
        minute, hour, day = (StatisticItem(item.sum, item.tps, item.avgpt) for item in view)
        return Reply(body=encode(StatisticBody(stats_minute=minute, stats_hour=hour, stats_day=day)))

    def _table(self) -> dict[str, str]:
        engine, now = self._engine, self._clock.monotonic_ms()
        extent = engine.extent()
        space = extent.space
        ratio = str(math.ceil(space.used_ratio * 100) / 100)
        return {
            **dict.fromkeys(_UNUSED, "0"),
            **_pools(),
            **self._traffic(now),
            **self._delays(),
            "brokerVersionDesc": VERSION_TEXT,
            "brokerVersion": str(SERVER_VERSION),
            "mqguardVersion": __version__,
            "brokerActive": "true",
            "brokerName": self._settings.name,
            "clusterName": self._settings.cluster,
            "bootTimestamp": str(self._started_ms),
            "runtime": _duration(now - self._started_monotonic_ms),
            "timerEnqueueTps": f"{self._statistics.put_tps(TIMER_TOPIC):.4f}",
            "timerDequeueTps": "0.0",
            "remainHowManyDataToFlush": "0 B",
            "earliestMessageTimeStamp": str(extent.oldest_ms),
            "commitLogMinOffset": str(extent.min_physical),
            "commitLogMaxOffset": str(extent.next_physical),
            "commitLogDiskRatio": ratio,
            "consumeQueueDiskRatio": ratio,
            "commitLogDirCapacity": f"Total : {_size(space.total)}, Free : {_size(space.total - space.used)}.",
            "topics": str(len(engine.topics)),
            "groups": str(len(engine.groups)),
            "consumersOnline": str(sum(len(group.members) for group in self._clients.groups())),
        }

    def _traffic(self, now: int) -> dict[str, str]:
        statistics, times = self._statistics, self._statistics.put_times
        throughput, size = statistics.throughput, statistics.put_bytes()
        rates = throughput.rates(now)
        put_today, put_yesterday = throughput.put_at_morning
        got_today, got_yesterday = throughput.got_at_morning
        return {
            "putTps": _rates(rates.put),
            "getTotalTps": _rates([found + missed for found, missed in zip(rates.found, rates.missed, strict=True)]),
            "getFoundTps": _rates(rates.found),
            "getMissTps": _rates(rates.missed),
            "getTransferredTps": _rates(rates.got),
            "msgPutTotalTodayNow": str(statistics.put_without_system_topics()),
            "msgPutTotalTodayMorning": str(put_today),
            "msgPutTotalYesterdayMorning": str(put_yesterday),
            "msgGetTotalTodayNow": str(throughput.got_without_system),
            "msgGetTotalTodayMorning": str(got_today),
            "msgGetTotalYesterdayMorning": str(got_yesterday),
            "putMessageTimesTotal": str(throughput.put),
            "putMessageSizeTotal": str(size),
            "putMessageAverageSize": str(size / throughput.put if throughput.put else 0.0),
            "putMessageDistributeTime": times.distribution(),
            "putMessageEntireTimeMax": str(times.longest_ms),
            "putLatency99": f"{times.quantile(0.99):.2f}",
            "putLatency999": f"{times.quantile(0.999):.2f}",
            "getMessageEntireTimeMax": str(statistics.longest_get_ms),
        }

    def _delays(self) -> dict[str, str]:
        """Return, for each delay level, how many messages were delivered and how many were stored."""
        engine = self._engine
        stored = {level: engine.max_offset(SCHEDULE_TOPIC, level - 1) for level in range(1, SCHEDULE_QUEUES + 1)}
        return {
            f"scheduleMessageOffset_{level}": f"{engine.delays.position(level)},{end}"
            for level, end in stored.items()
            if end
        }


def _pools() -> dict[str, str]:
    found = {"EndTransactionQueueSize": "0", "EndTransactionThreadPoolQueueCapacity": _POOL_CAPACITY}
    for pool in _POOLS:
        found[f"{pool}ThreadPoolQueueSize"] = found[f"{pool}ThreadPoolQueueHeadWaitTimeMills"] = "0"
        found[f"{pool}ThreadPoolQueueCapacity"] = _POOL_CAPACITY
    return found


def _rates(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _duration(ms: int) -> str:
    seconds = ms // 1000
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    return f"[ {days} days, {hours} hours, {minutes} minutes, {seconds % 60} seconds ]"


def _size(size: int) -> str:
    """Return bytes in the form that Apache's tools parse."""
    number, unit = float(size), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.1f} {_UNITS[unit]}" if unit else f"{size} B"


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
