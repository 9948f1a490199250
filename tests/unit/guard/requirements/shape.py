"""Helpers for tests of the requirements: messages of gRPC, and what is left to the handler."""

import re


class Message:
    """A message of `apache.rocketmq.v2` made from its JSON form, read as protobuf's Python classes are.

    Absent texts are empty, absent lists are empty, absent messages are empty messages that are not there.
    """

    REPEATED = frozenset({"messages", "topics", "subscriptions", "entries", "lite_topic_set"})
    TEXTS = frozenset({"name", "resource_namespace", "receipt_handle", "message_id"})
    CLIENT_TYPES = (
        "CLIENT_TYPE_UNSPECIFIED",
        "PRODUCER",
        "PUSH_CONSUMER",
        "SIMPLE_CONSUMER",
        "PULL_CONSUMER",
        "LITE_PUSH_CONSUMER",
        "LITE_SIMPLE_CONSUMER",
    )

    def __init__(self, members):
        self._members = {
            re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name): value for name, value in members.items()
        }

    def HasField(self, name):  # noqa: N802 - protobuf's word
        """Return True if a member was set."""
        return name in self._members

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self.REPEATED:
            return [Message(item) if isinstance(item, dict) else item for item in self._members.get(name, [])]
        if name in self.TEXTS:
            return self._members.get(name, "")
        if name == "client_type":
            kind = self._members.get(name, 0)
            return kind if isinstance(kind, int) else self.CLIENT_TYPES.index(kind)
        return Message(self._members.get(name, {}))


def is_pending(requirements, command):
    """Return True if the handler of a command must ask the guard again."""
    pending = requirements.operation(command.code).pending
    return pending is not None and pending(command)
