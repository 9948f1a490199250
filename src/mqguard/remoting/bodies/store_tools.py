"""Bodies about the store as a whole (45, 354, 907, 2003)."""

import msgspec

from mqguard.remoting.bodies.codec import Body


class DelayOffsets(Body):
    """Answer of 45: the offset of the next message to deliver, by delay level."""

    offset_table: dict[int, int]


class IndexCheck(Body):
    """Answer of 354: the comparison of two indexes.

    Attributes:
        check_status: 0 if they agree.
    """

    check_status: int = 0
    check_result: str = ""


class HaClientStatus(Body):
    """The connection of a slave to its master, all zero on a master."""

    master_addr: str | None = None
    transferred_byte_in_second: int = 0
    max_offset: int = 0
    last_read_timestamp: int = 0
    last_write_timestamp: int = 0
    master_flush_offset: int = 0
    is_activated: bool = False


class HaStatus(Body):
    """Answer of 907: the replication of a broker."""

    master_commit_log_max_offset: int
    master: bool = True
    in_sync_slave_nums: int = 0
    ha_connection_info: list[str] = msgspec.field(default_factory=list)
    ha_client_runtime_info: HaClientStatus = msgspec.field(default_factory=HaClientStatus)


class ColdDataInfo(Body):
    """Answer of 2003: groups whose reads of old messages are slowed down."""

    runtime_table: dict[str, str] = msgspec.field(default_factory=dict)
    config_table: dict[str, int] = msgspec.field(default_factory=dict)
    cg_cold_read_threshold: int = 0
    global_cold_read_threshold: int = 0
    global_acc: int = 0
