"""What an option is."""

import dataclasses
import re
from typing import Generic, TypeVar

from mqguard.config.kinds import Kind

T = TypeVar("T")

ENVIRONMENT_PREFIX = "MQGUARD_"

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclasses.dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    """One thing that can be configured.

    Attributes:
        name: Its key in `broker.conf`: Apache's, where Apache has one.
        kind: How its text is read.
        default: Its value when nothing is said.
        help: What it does, one sentence for the documentation.
        section: The part of mqguard that it belongs to.
        says_default: How documents put the default, if its value does not say it by itself.
        apache_default: Apache's default where it differs, for the documentation.
        secret: Whether its value must never be shown.
        ours: Whether the key is mqguard's own, unknown to Apache.
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
