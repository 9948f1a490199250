"""Header fields of HTTP/2 (RFC 7541): a decoder with limits, and an encoder that keeps no state.

Texts are decoded as Latin-1, so that each character is one byte and nothing fails. The caller checks the characters.
"""

# Rule 1: the size of the decoded fields is counted while they are decoded, and a block over the limit is not continued.
# Rule 2: any block gives fields or a ConnectionFailed, and nothing else.

from typing import Final

from mqguard.rpc import huffman
from mqguard.rpc.errors import ConnectionFailed, ErrorCode, HpackInvalid

Field = tuple[str, str]

TABLE_SIZE: Final = 4096
"""Size of the table that a peer may use; the default of the protocol, so it needs no setting."""
OVERHEAD: Final = 32
"""Bytes that are added to the size of each field."""
_MAX_INTEGER_BYTES: Final = 4
"""Bytes of an integer after its first one: enough for all lengths that a frame can have."""

_STATIC: Final[tuple[Field, ...]] = (
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
)  # fmt: skip
"""The table of RFC 7541, appendix A; its first field has index 1."""
_STATIC_COUNT: Final = len(_STATIC)


_Entry = tuple[str, str, int]
"""Name and value of a field, and its size as the protocol counts it."""
_NO_ENTRY: Final[_Entry] = ("", "", 0)
_ENTRIES: Final[tuple[_Entry, ...]] = (
    _NO_ENTRY,
    *((name, value, len(name) + len(value) + OVERHEAD) for name, value in _STATIC),
)
"""The static table by index. Index 0 is illegal."""

_MAX_NAMES: Final = 1_024
_MAX_NAME: Final = 40
_names: Final[dict[bytes, str]] = {}
"""Names that were decoded, so that a name is one object: its hash is known, and a comparison costs nothing."""


class Decoder:
    """Decodes the header blocks of one connection, in order.

    Args:
        max_list: Maximum size of the fields of one block: their bytes, and `OVERHEAD` for each.
    """

    __slots__ = ("_max_list", "_size", "_table", "_table_limit")

    def __init__(self, max_list: int) -> None:
        self._max_list = max_list
        # The newest field is last, so that adding one is cheap.
        self._table: list[_Entry] = []
        self._size = 0
        self._table_limit = TABLE_SIZE

    def decode(self, block: bytes) -> tuple[list[str], list[str]]:
        """Return the names and the values of the fields of a block.

        Raises:
            HpackInvalid: The block is malformed.
            ConnectionFailed: The fields are too large.
        """
        names: list[str] = []
        values: list[str] = []
        left, at, end, table = self._max_list, 0, len(block), self._table
        try:
            while at < end:
                byte = block[at]
                at += 1
                if byte >= 0x80:
                    index = byte & 0x7F
                    if index == 0x7F:
                        index, at = _integer(block, at, 0x7F)
                    if not index:
                        raise HpackInvalid("there is no header field with index 0")
                    # Inlined `_at`: its call takes a fifth of the time of a block.
                    entry = table[_STATIC_COUNT - index] if index > _STATIC_COUNT else _ENTRIES[index]
                elif byte & 0x60 == 0x20:
                    at = self._resize(block, at - 1, is_first=not names)
                    continue
                else:
                    entry, at = self._literal(block, at, byte)
                name, value, size = entry
                left -= size
                if left < 0:
                    raise ConnectionFailed(
                        ErrorCode.ENHANCE_YOUR_CALM, f"header fields of more than {self._max_list} bytes"
                    )
                names.append(name)
                values.append(value)
        except IndexError:
            raise HpackInvalid("a block ends within a header field, or has an index of none") from None
        return names, values

    def _literal(self, block: bytes, at: int, byte: int) -> tuple[_Entry, int]:
        """Decode a literal field; those that are to be indexed are added to the table."""
        mask = 0x3F if byte & 0x40 else 0x0F
        index = byte & mask
        if index == mask:
            index, at = _integer(block, at, mask)
        if index:
            name = self._at(index)[0]
        else:
            end = at + 1 + (block[at] & 0x7F)
            known = _names.get(block[at:end])
            if known is None:
                name, at = _new_name(block, at, end)
            else:
                name, at = known, end
        size = block[at]
        if size < 0x7F:
            # Inlined `_text` for most values.
            start, at = at + 1, at + 1 + size
            if at > len(block):
                raise HpackInvalid("a block of header fields ends within a text")
            value = block[start:at].decode("latin-1")
        else:
            value, at = _text(block, at)
        entry = (name, value, len(name) + len(value) + OVERHEAD)
        if byte & 0x40:
            self._add(entry)
        return entry, at

    def _at(self, index: int) -> _Entry:
        return self._table[_STATIC_COUNT - index] if index > _STATIC_COUNT else _ENTRIES[index]

    def _add(self, entry: _Entry) -> None:
        self._size += entry[2]
        self._table.append(entry)
        if self._size > self._table_limit:
            self._evict()

    def _evict(self) -> None:
        table, size, count = self._table, self._size, 0
        while size > self._table_limit:
            size -= table[count][2]
            count += 1
        del table[:count]
        self._size = size

    def _resize(self, block: bytes, at: int, *, is_first: bool) -> int:
        size = block[at] & 0x1F
        at += 1
        if size == 0x1F:
            size, at = _integer(block, at, 0x1F)
        if not is_first:
            raise HpackInvalid("the size of the table changes after a header field")
        if size > TABLE_SIZE:
            raise HpackInvalid(f"a table of {size} bytes, and the maximum is {TABLE_SIZE}")
        self._table_limit = size
        self._evict()
        return at


def _integer(block: bytes, at: int, first: int) -> tuple[int, int]:
    """Decode the rest of an integer whose first byte had all bits set; return it and the position after it."""
    value = first
    for shift in range(0, 7 * _MAX_INTEGER_BYTES, 7):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise HpackInvalid("a header field has an integer that is too large")


def _new_name(block: bytes, at: int, end: int) -> tuple[str, int]:
    """Decode a name; a short one, which ends at `end`, is cached with its length and its form."""
    name, after = _text(block, at)
    if after == end and end - at <= _MAX_NAME:
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        _names[block[at:end]] = name
    return name, after


def _text(block: bytes, at: int) -> tuple[str, int]:
    byte = block[at]
    at += 1
    size = byte & 0x7F
    if size == 0x7F:
        size, at = _integer(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise HpackInvalid("a block of header fields ends within a text")
    if byte & 0x80:
        return huffman.decode(block[at:end]), end
    return block[at:end].decode("latin-1"), end


def encode(fields: list[Field]) -> bytes:
    """Encode fields without an index or Huffman codes, so that the table of the peer has no influence.

    Names are encoded by their index in the static table where they have one.

    Args:
        fields: Names in lower case, and values; characters up to 255.
    """
    return b"".join([_encoded(name, value) for name, value in fields])


def _encoded(name: str, value: str) -> bytes:
    index = _INDEXES.get((name, value))
    if index is not None:
        return bytes((0x80 | index,))
    known = _NAMES.get(name)
    if known is None:
        return b"\x00" + _length_prefixed(name) + _length_prefixed(value)
    return _prefixed(known, 0x0F, 0x00) + _length_prefixed(value)


def _length_prefixed(text: str) -> bytes:
    return _prefixed(len(text), 0x7F, 0x00) + text.encode("latin-1")


def _prefixed(value: int, mask: int, bits: int) -> bytes:
    if value < mask:
        return bytes((bits | value,))
    out, value = [bits | mask], value - mask
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_INDEXES: Final = {field: number for number, field in enumerate(_STATIC, 1) if field[1]}
_NAMES: Final = {name: number for number, (name, _) in reversed(list(enumerate(_STATIC, 1)))}
