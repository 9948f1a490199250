"""The signed content of a request, which client and server compute."""

import operator
from collections.abc import Callable
from typing import Final

from mqguard.remoting.codes import VERSION_4_9_3

ACCESS_KEY: Final = "AccessKey"
SIGNATURE: Final = "Signature"
SECURITY_TOKEN: Final = "SecurityToken"  # noqa: S105, the field's name
UNIQUE_KEY_QUERY: Final = "_UNIQUE_KEY_QUERY"

_LONGEST_NAMES: Final = 512
"""Maximum total length of field names with a cached order: a peer chooses the names, so memory must be bounded."""
_MOST_PICKERS: Final = 512
"""Maximum number of cached orders; at the maximum the cache is cleared."""

_Picker = Callable[[dict[str, str]], tuple[str, ...]]

# Functions that return the values in order, by the names as received: for clients up to 4.9.3, and for all others.
# Clients send few sets of names, so each is sorted once.
_legacy_pickers: dict[tuple[str, ...], _Picker] = {}
_pickers: dict[tuple[str, ...], _Picker] = {}


def signed_content(ext: dict[str, str], body: bytes, version: int) -> bytes:
    """Return the bytes that a request's signature covers: all ext values in the order of their names, then the body.

    The signature does not cover the names themselves, nor code, opaque, flags and remark.

    Args:
        ext: Ext fields as received; `Signature` itself is excluded.
        body: The body as received.
        version: The sender's version; up to 4.9.3 `_UNIQUE_KEY_QUERY` is excluded too.
    """
    names = tuple(ext)
    pick = (_legacy_pickers if version <= VERSION_4_9_3 else _pickers).get(names)
    if pick is None:
        pick = _learn(names, legacy=version <= VERSION_4_9_3)
    return "".join(pick(ext)).encode("utf-8", "surrogatepass") + body


def _learn(names: tuple[str, ...], *, legacy: bool) -> _Picker:
    order = _order(names, legacy=legacy)
    pick: _Picker = operator.itemgetter(*order) if len(order) > 1 else lambda ext: tuple([ext[name] for name in order])
    if sum(map(len, names)) <= _LONGEST_NAMES:
        pickers = _legacy_pickers if legacy else _pickers
        if len(pickers) >= _MOST_PICKERS:
            pickers.clear()
        pickers[names] = pick
    return pick


def _order(names: tuple[str, ...], *, legacy: bool) -> list[str]:
    # Java compares UTF-16 code units; for ASCII names that is the order of the code points.
    skipped = (SIGNATURE, UNIQUE_KEY_QUERY) if legacy else (SIGNATURE,)
    kept = [name for name in names if name not in skipped]
    return sorted(kept, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
