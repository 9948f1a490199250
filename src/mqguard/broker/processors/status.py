"""State and configuration of the broker (25, 26, 28, 315)."""

from collections.abc import Callable, Mapping

from mqguard import __version__
from mqguard.broker.settings import BrokerSettings, ExposedConfiguration
from mqguard.broker.throughput import Throughput
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.model.process import Clock
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.topics import DataVersionBody, KvBody
from mqguard.remoting.codes import SERVER_VERSION, RequestCode, ResponseCode
from mqguard.remoting.command import Reply

VERSION_TEXT = "V5_5_0"
"""Text that tools show for `SERVER_VERSION`."""

_UNUSED = (
    "sendThreadPoolQueueSize",
    "pullThreadPoolQueueSize",
    "ackThreadPoolQueueSize",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "pageCacheLockTimeMills",
    "timerReadBehind",
    "timerOffsetBehind",
    "timerCongestNum",
    "dispatchBehindBytes",
)
"""Queues and lags that this broker does not have. They are always 0."""


class StatusProcessor:
    """Handlers for the state and the configuration of the broker.

    Args:
        engine: Engine, which has the messages.
        clients: The connected clients.
        throughput: Counters and rates.
        configuration: Configuration that can be read and changed over the wire.
        settings: See `BrokerSettings`.
        clock: Clock.
        metrics: Function that returns all metrics as texts, by name and labels.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        throughput: Throughput,
        configuration: ExposedConfiguration,
        settings: BrokerSettings,
        clock: Clock,
        metrics: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._engine = engine
        self._clients = clients
        self._throughput = throughput
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
        self._configuration.change(request.command.body)
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
        """Answer a request for a statistic (315) as Apache does for one that does not exist: this broker has none."""
        ext = request.command.ext
        raise RequestRefused(
            ResponseCode.SYSTEM_ERROR,
            f"The stats <{ext.get('statsName', '')}> <{ext.get('statsKey', '')}> not exist",
        )

    def _table(self) -> dict[str, str]:
        engine, throughput, now = self._engine, self._throughput, self._clock.monotonic_ms()
        put, got = throughput.rates(now)
        extent = engine.extent()
        return {
            **dict.fromkeys(_UNUSED, "0"),
            "brokerVersionDesc": VERSION_TEXT,
            "brokerVersion": str(SERVER_VERSION),
            "mqguardVersion": __version__,
            "brokerActive": "true",
            "brokerName": self._settings.name,
            "clusterName": self._settings.cluster,
            "bootTimestamp": str(self._started_ms),
            "runtime": _duration(now - self._started_monotonic_ms),
            "putTps": _rates(put),
            "getTotalTps": _rates(got),
            "getFoundTps": _rates(got),
            "getMissTps": _rates([0.0] * len(got)),
            "getTransferredTps": _rates(got),
            "timerEnqueueTps": "0.0",
            "timerDequeueTps": "0.0",
            "msgPutTotalTodayNow": str(throughput.put),
            "msgPutTotalTodayMorning": "0",
            "msgPutTotalYesterdayMorning": "0",
            "msgGetTotalTodayNow": str(throughput.got),
            "msgGetTotalTodayMorning": "0",
            "msgGetTotalYesterdayMorning": "0",
            "putMessageTimesTotal": str(throughput.put),
            "putMessageSizeTotal": str(throughput.put_bytes),
            "earliestMessageTimeStamp": str(extent.oldest_ms),
            "commitLogMinOffset": str(extent.min_physical),
            "commitLogMaxOffset": str(extent.next_physical),
            "commitLogDiskRatio": f"{extent.space.used_ratio:.4f}",
            "commitLogDirCapacity": f"Total : {_gib(extent.space.total)}, Free : {_gib(extent.space.free)}.",
            "topics": str(len(engine.topics)),
            "groups": str(len(engine.groups)),
            "consumersOnline": str(sum(len(group.members) for group in self._clients.groups())),
        }


def _rates(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _duration(ms: int) -> str:
    seconds = ms // 1000
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    return f"[ {days} days, {hours} hours, {minutes} minutes, {seconds % 60} seconds ]"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
