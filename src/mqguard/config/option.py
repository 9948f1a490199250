"""The definition of options."""

import dataclasses
import re
from typing import Generic, TypeVar

from mqguard.config.kinds import Kind

T = TypeVar("T")

ENVIRONMENT_PREFIX = "MQGUARD_"

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclasses.dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    """One configurable value.

    Attributes:
        name: Its key in `broker.conf`: Apache's, if Apache has one.
        kind: The parser of its text.
        default: Its default value.
        help: Its effect, one sentence for the documentation.
        section: The part of mqguard that it belongs to.
        says_default: The default in documentation, if the value itself is not clear.
        apache_default: Apache's default where it differs, for the documentation.
        secret: True if its value must never be shown.
        ours: True if the key is mqguard's own, unknown to Apache.
    """

    name: str
    kind: Kind[T]
    default: T
    help: str
    section: str
    says_default: str = ""
    apache_default: str = ""
    secret: bool = False
    ours: bool = False

    @property
    def environment(self) -> str:
        """The environment variable that sets it: `listenPort` is `MQGUARD_LISTEN_PORT`."""
        words = _WORD_START.sub("_", self.name).replace(".", "_")
        return ENVIRONMENT_PREFIX + words.upper()
