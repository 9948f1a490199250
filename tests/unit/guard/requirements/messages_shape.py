"""Messages of apache.rocketmq.v2 as protobuf's Python classes show them, made from their JSON form."""

import re

REPEATED = {"messages", "topics", "subscriptions", "entries", "lite_topic_set"}
TEXTS = {"name", "resource_namespace", "receipt_handle", "message_id"}
CLIENT_TYPES = ("UNSPECIFIED", "PRODUCER", "PUSH_CONSUMER", "SIMPLE_CONSUMER", "PULL_CONSUMER")


class Shape:
    """Absent texts are empty, absent lists are empty, absent messages are empty messages that are not there."""

    def __init__(self, members):
        self._members = {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), name): value for name, value in members.items()}

    def HasField(self, name):  # noqa: N802 - protobuf's word
        return name in self._members

    def __getattr__(self, name):
        if name in REPEATED:
            return [Shape(item) if isinstance(item, dict) else item for item in self._members.get(name, [])]
        if name in TEXTS:
            return self._members.get(name, "")
        if name == "client_type":
            kind = self._members.get(name, 0)
            return kind if isinstance(kind, int) else CLIENT_TYPES.index(kind)
        return Shape(self._members.get(name, {}))
