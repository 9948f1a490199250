"""Errors of administrative operations; errors of connections are in `net.errors`."""

import difflib
from collections.abc import Iterable

from mqguard.errors import ErrorKind, MqguardError
from mqguard.remoting.codes import ResponseCode

MAX_NEAREST = 3
"""Maximum number of similar names that an error names."""


class AddressInvalid(MqguardError):
    """The address is not valid."""

    kind = ErrorKind.INVALID_INPUT


class ClusterUnknown(MqguardError):
    """The cluster does not exist, or there are several and none was named."""


class BrokerUnknown(MqguardError):
    """The name server lists a broker that is not named, not pinned, and not in the name server's own process."""


class SourceUnavailable(MqguardError):
    """Users and policies cannot be read from their source, so there is no finding about them."""

    kind = ErrorKind.UNREACHABLE


class ChangesIncomplete(MqguardError):
    """A broker refused its changes after others had made theirs."""


class EntryExists(MqguardError):
    """A change would replace an entry that exists."""


class TopicExists(MqguardError):
    """A topic to create exists with other settings."""


class GroupExists(MqguardError):
    """A consumer group to create exists."""


class TopicShrinks(MqguardError):
    """A topic would have fewer queues, and the caller has not allowed that."""


class RotationUnknown(MqguardError):
    """The broker cannot keep the old secret accepted."""


class ChangesTooMany(MqguardError):
    """The changes do not fit into one request to the broker."""


class AnswerInvalid(MqguardError):
    """The server sent a response that is not valid."""


class PeerRefused(MqguardError):
    """The server answered with an error code.

    Attributes:
        code: Response code.
        remark: Error message of the server.
    """

    def __init__(self, code: int, remark: str, hint: str = "") -> None:
        super().__init__(": ".join(filter(None, (_name(code), remark.strip(), hint))))
        self.code = code
        self.remark = remark


def _name(code: int) -> str:
    try:
        return ResponseCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"response code {code}"


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Return the names most like a name, as the end of an error; empty if no name is like it."""
    by_key = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_key, n=MAX_NEAREST, cutoff=0.5)
    return "; nearest: " + ", ".join(f"`{by_key[one]}`" for one in close) if close else ""
