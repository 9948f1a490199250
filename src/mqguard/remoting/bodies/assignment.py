"""Bodies of queue assignment by the server and of acknowledging in batches (400, 401, 200151)."""

from mqguard.remoting.bodies.codec import Body, MessageQueue


class QueryAssignment(Body):
    """400: the queues of this client are requested."""

    topic: str
    consumer_group: str
    client_id: str
    message_model: str = "CLUSTERING"
    strategy_name: str = "AVG"


class Assignment(Body):
    """One queue of a client; `mode` is `PULL` or `POP`."""

    message_queue: MessageQueue
    mode: str = "PULL"


class Assignments(Body):
    """Answer of 400."""

    message_queue_assignments: list[Assignment]


class RequestMode(Body):
    """401: the way in which a group receives a topic's messages."""

    topic: str
    consumer_group: str
    mode: str
    pop_share_queue_num: int = 0


class AckGroup(Body, rename={
    "group": "c", "topic": "t", "retry": "r", "start_offset": "so", "queue_id": "q", "revive_queue_id": "rq",
    "pop_time": "pt", "invisible_time": "it", "bits": "b",
}):  # fmt: skip
    """Acknowledgements of one pop.

    Attributes:
        retry: `0` normal topic, `1` or `2` retry topic of version 1 or 2.
        bits: Base64 of a little-endian bit set; bit i acknowledges `start_offset + i`.
    """

    group: str
    topic: str
    retry: str
    start_offset: int
    queue_id: int
    revive_queue_id: int
    pop_time: int
    invisible_time: int
    bits: str


class BatchAck(Body):
    """200151: acknowledgements of many messages."""

    broker_name: str
    acks: list[AckGroup]
