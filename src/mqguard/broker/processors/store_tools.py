"""Requests of Apache's tools about files, replicas and indexes of a store (43, 45, 306, 316, 329, 354, 355, 513, …).

This broker has one RocksDB, no replicas and no static topics. It answers as Apache's broker without these parts, so its
tools work. Requests that would change a missing part are refused.
"""

from typing import Final

from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.engine.topics import SCHEDULE_QUEUES
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.store_tools import ColdDataInfo, DelayOffsets, HaStatus, IndexCheck
from mqguard.remoting.bodies.topics import StoredOffsets
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply

MAX_LISTED_OFFSETS: Final = 50_000
"""Maximum offsets of one answer with all offsets. It takes some 50 ms, and its body has about 1 MiB."""
_NO_COLD_DATA: Final = "this broker does not slow down reads of old messages, so groups have no threshold for them"
_NO_STATIC_TOPICS: Final = "static topics are not supported: create a normal topic on each broker"
_READ_AHEAD_MODES: Final = frozenset({"0", "1"})
_TIMER_ENGINE: Final = "F"


class StoreToolProcessor:
    """Handlers for requests about the store as a whole.

    Args:
        engine: Engine, which has the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.GET_ALL_CONSUMER_OFFSET: self.offsets,
            RequestCode.GET_ALL_DELAY_OFFSET: self.delay_offsets,
            RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE: self.nothing_to_do,
            RequestCode.CLEAN_UNUSED_TOPIC: self.nothing_to_do,
            RequestCode.DELETE_EXPIRED_COMMITLOG: self.delete_expired,
            RequestCode.CHECK_ROCKSDB_CQ_WRITE_PROGRESS: self.check_index,
            RequestCode.EXPORT_ROCKSDB_CONFIG_TO_JSON: self.export,
            RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC: self.static_topic,
            RequestCode.GET_BROKER_HA_STATUS: self.replicas,
            RequestCode.RESET_MASTER_FLUSH_OFFSET: self.nothing_to_do,
            RequestCode.GET_BROKER_EPOCH_CACHE: self.epochs,
            RequestCode.GET_COLD_DATA_FLOW_CTR_INFO: self.cold_data,
            RequestCode.UPDATE_COLD_DATA_FLOW_CTR_CONFIG: self.change_cold_data,
            RequestCode.REMOVE_COLD_DATA_FLOW_CTR_CONFIG: self.change_cold_data,
            RequestCode.SET_COMMITLOG_READ_MODE: self.read_ahead,
            RequestCode.SWITCH_TIMER_ENGINE: self.timer_engine,
        }

    def offsets(self, request: Request) -> Reply:
        """Return all offsets of all groups (43)."""
        del request
        offsets = self._engine.offsets
        if offsets.count > MAX_LISTED_OFFSETS:
            raise RequestRefused(
                ResponseCode.SYSTEM_ERROR,
                f"there are {offsets.count} offsets, and one answer has at most {MAX_LISTED_OFFSETS}: request the "
                "progress of single groups (208)",
            )
        table = {f"{topic}@{group}": queues for (group, topic), queues in offsets.everything().items()}
        return Reply(body=encode(StoredOffsets(offset_table=table)))

    def delay_offsets(self, request: Request) -> Reply:
        """Return the offset of each delay level that has delivered messages (45)."""
        del request
        found = {level: self._engine.delays.position(level) for level in range(1, SCHEDULE_QUEUES + 1)}
        table = {level: offset for level, offset in found.items() if offset}
        return Reply(body=encode(DelayOffsets(offset_table=table)))

    def nothing_to_do(self, request: Request) -> Reply:
        """Answer a request for work that this broker never leaves undone (306, 316, 908).

        The entries of deleted messages and topics are deleted with them, and a master has no master to follow.
        """
        del request
        return Reply()

    def delete_expired(self, request: Request) -> Reply:
        """Delete messages that are older than `fileReservedTime` at once (329)."""
        del request
        self._engine.delete_expired()
        return Reply()

    def check_index(self, request: Request) -> Reply:
        """Answer a comparison of two indexes of queues (354): there is only one."""
        del request
        return Reply(body=encode(IndexCheck(check_result="the queues have one index, so there is nothing to compare")))

    def export(self, request: Request) -> Reply:
        """Answer a request to write topics and groups to files of the broker (355): tools read them over the wire."""
        del request
        return Reply(
            remark="nothing was exported: read topics, groups and offsets over the wire, as exportMetadata does"
        )

    def static_topic(self, request: Request) -> Reply:
        """Refuse to create a topic whose queues are numbered across brokers (513)."""
        del request
        raise RequestRefused(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, _NO_STATIC_TOPICS)

    def replicas(self, request: Request) -> Reply:
        """Return the state of a master without slaves (907)."""
        del request
        return Reply(body=encode(HaStatus(master_commit_log_max_offset=self._engine.next_physical)))

    def epochs(self, request: Request) -> Reply:
        """Answer as a broker that no controller elects (1007)."""
        del request
        raise RequestRefused(ResponseCode.SYSTEM_ERROR, "this request only for controllerMode ")

    def cold_data(self, request: Request) -> Reply:
        """Return the reads of old messages that are slowed down: none (2003)."""
        del request
        return Reply(body=encode(ColdDataInfo()))

    def change_cold_data(self, request: Request) -> Reply:
        """Refuse a threshold for reads of old messages (2001, 2002)."""
        del request
        raise RequestRefused(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, _NO_COLD_DATA)

    def read_ahead(self, request: Request) -> Reply:
        """Answer a hint for reading files (2004). The store reads its files in its own way, so it has no effect."""
        mode = request.command.ext.get("READ_AHEAD_MODE", "")
        if mode not in _READ_AHEAD_MODES:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER, "set commitlog readahead mode param value error: it must be 0 or 1"
            )
        return Reply(remark=f"mode {mode} has no effect: this broker has no commit log files")

    def timer_engine(self, request: Request) -> Reply:
        """Answer a choice between two stores of timed messages (5001): there is one, the default `F`."""
        if request.command.ext.get("E_T", "") != _TIMER_ENGINE:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"this broker has one store of timed messages, so the engine type can only be `{_TIMER_ENGINE}`",
            )
        return Reply()
