"""What a request signs: the text that both sides compute."""

import functools
import operator
from collections.abc import Callable
from typing import Final

from mqguard.remoting.codes import VERSION_4_9_3

ACCESS_KEY: Final = "AccessKey"
SIGNATURE: Final = "Signature"
SECURITY_TOKEN: Final = "SecurityToken"  # noqa: S105, the field's name
UNIQUE_KEY_QUERY: Final = "_UNIQUE_KEY_QUERY"

_MAX_CACHED_NAMES: Final = 512
"""Longest field names, all together, whose order is remembered: a peer chooses the names, so memory must be bounded."""


def signed_content(ext: dict[str, str], body: bytes, version: int) -> bytes:
    """The bytes that a request's signature covers: all ext values in the order of their names, then the body.

    The names themselves are not covered, nor are code, opaque, flags and remark.

    Args:
        ext: Ext fields as received; `Signature` itself is left out.
        body: The body as received.
        version: The sender's version; up to 4.9.3 `_UNIQUE_KEY_QUERY` is left out too.
    """
    names = tuple(ext)
    joined = "".join(names)
    if len(joined) > _MAX_CACHED_NAMES or not joined.isascii():
        values: tuple[str, ...] = tuple([ext[name] for name in _order(names, version <= VERSION_4_9_3)])
    else:
        values = _picker(names, version <= VERSION_4_9_3)(ext)
    return "".join(values).encode("utf-8", "surrogatepass") + body


def _order(names: tuple[str, ...], legacy: bool) -> list[str]:  # noqa: FBT001
    # Java compares UTF-16 code units; for ASCII names that is the order of the code points.
    skipped = (SIGNATURE, UNIQUE_KEY_QUERY) if legacy else (SIGNATURE,)
    kept = [name for name in names if name not in skipped]
    return sorted(kept, key=lambda name: name.encode("utf-16-be", "surrogatepass"))


@functools.lru_cache(maxsize=512)
def _picker(names: tuple[str, ...], legacy: bool) -> Callable[[dict[str, str]], tuple[str, ...]]:  # noqa: FBT001
    """How to take the values in order. Clients send few sets of names, so the sorting is done once for each."""
    order = _order(names, legacy)
    if len(order) > 1:
        return operator.itemgetter(*order)
    return lambda ext: tuple([ext[name] for name in order])
