"""Topics: number of queues, read and write permissions, attributes."""

import msgspec

from mqguard.model.errors import AttributesInvalid

PERM_PRIORITY = 8
PERM_READ = 4
PERM_WRITE = 2
PERM_INHERIT = 1
PERM_BOTH = PERM_READ | PERM_WRITE
MAX_QUEUES = 1024
"""Maximum number of queues per topic: queues cost start-up time and memory, and no use needs more."""

MESSAGE_TYPE = "message.type"
ATTRIBUTE_VALUES: dict[str, frozenset[str] | None] = {
    MESSAGE_TYPE: frozenset({"UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED", "PRIORITY", "LITE"}),
    "queue.type": frozenset({"SimpleCQ", "BatchCQ"}),
    "cleanup.policy": frozenset({"DELETE", "COMPACTION"}),
    "reserve.time": None,
    "lite.topic.expiration": None,
}
"""Attributes of topics, with the allowed values; None is a whole number."""

MAX_CHANGE = 4 * 1024
"""Maximum characters of an attribute change: there are five attributes."""
MAX_DIGITS = 20
"""Maximum characters of an attribute that is a whole number."""


class TopicConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """One topic as stored by the broker.

    Attributes:
        name: The topic.
        read_queues: Queues `0 … read_queues - 1` may be read.
        write_queues: Queues `0 … write_queues - 1` may be written.
        perm: Bits of `PERM_READ`, `PERM_WRITE`, `PERM_INHERIT` (a template may be copied), `PERM_PRIORITY`.
        filter_type: `SINGLE_TAG` or `MULTI_TAG`.
        sys_flag: Bits of the unit mode.
        order: True if the topic is for ordered messages.
        attributes: Attributes by plain name, such as `message.type`.
        creator: User whose request created it; None if no quota counts it, such as for topics of Super users.
    """

    name: str
    read_queues: int = 8
    write_queues: int = 8
    perm: int = PERM_BOTH
    filter_type: str = "SINGLE_TAG"
    sys_flag: int = 0
    order: bool = False
    attributes: dict[str, str] = {}
    creator: str | None = None

    @property
    def readable(self) -> bool:
        """True if consumers may read."""
        return bool(self.perm & PERM_READ)

    @property
    def writable(self) -> bool:
        """True if producers may write."""
        return bool(self.perm & PERM_WRITE)

    @property
    def queues(self) -> int:
        """The number of queues for reading or writing."""
        return max(self.read_queues, self.write_queues)


def perm_fault(perm: int) -> str | None:
    """Return the problem with a permission number, or None if it is valid."""
    legal = PERM_BOTH | PERM_INHERIT | PERM_PRIORITY
    if perm < 0 or perm & ~legal:
        return f"perm `{perm}` has unknown bits: use 2 (write), 4 (read) or 6 (both)"
    return None


def change_attributes(current: dict[str, str], change: str) -> dict[str, str]:
    """Apply an attribute change in the wire's form, `+name=value,-name`, to the attributes of a topic.

    Raises:
        AttributesInvalid: A part has no sign, names an unknown attribute or gives it an invalid value.
    """
    if len(change) > MAX_CHANGE:
        raise AttributesInvalid(f"the attribute change has {len(change)} characters: it may have at most {MAX_CHANGE}")
    changed = dict(current)
    for part in filter(None, (piece.strip() for piece in change.split(","))):
        name, _, value = part[1:].partition("=")
        if part[0] == "-":
            changed.pop(name, None)
        elif part[0] == "+":
            _check_attribute(name, value)
            changed[name] = value
        else:
            raise AttributesInvalid(
                f"attribute change `{part}` starts with neither `+` nor `-`: write `+name=value` or `-name`"
            )
    return changed


def _check_attribute(name: str, value: str) -> None:
    if name not in ATTRIBUTE_VALUES:
        known = ", ".join(f"`{known}`" for known in sorted(ATTRIBUTE_VALUES))
        raise AttributesInvalid(f"unknown topic attribute `{name}`: use one of {known}")

    allowed = ATTRIBUTE_VALUES[name]
    if allowed is None:
        if len(value) > MAX_DIGITS or not value.removeprefix("-").isdecimal():
            raise AttributesInvalid(f"topic attribute `{name}` must be a whole number, not `{value[:64]}`")
    elif value not in allowed:
        raise AttributesInvalid(f"topic attribute `{name}` must be one of {', '.join(sorted(allowed))}, not `{value}`")
