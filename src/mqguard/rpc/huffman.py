"""Huffman code of header fields (RFC 7541, appendix B), decoded a byte at a time by an automaton."""

# The code is canonical: shorter codes come first, and codes of one length are in the order of their bytes. So the
# lengths are enough to make the tree.

from typing import Final

from mqguard.rpc.errors import HpackInvalid

_END: Final = 256
"""The symbol after the bytes. Its code may only begin, as the padding of the last byte."""
_LENGTHS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817"
    "181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)
"""Bits of the code of each byte and of the end."""


class _State(list["tuple[_State, str] | None"]):
    """One inner node of the tree: the next state and the decoded text for each next byte; empty until it is needed.

    Attributes:
        zero: The node or symbol after a 0.
        one: The node or symbol after a 1.
        is_end: True if the text may end here, because the bits since the last symbol are padding.
    """

    __slots__ = ("is_end", "one", "zero")

    zero: "_State | int"
    one: "_State | int"

    def __init__(self, *, is_end: bool) -> None:
        super().__init__()
        self.zero = self.one = -1
        self.is_end = is_end


def _tree() -> _State:
    root = _State(is_end=True)
    code, length = 0, 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda symbol: (_LENGTHS[symbol], symbol)):
        code <<= _LENGTHS[symbol] - length
        length = _LENGTHS[symbol]
        _add(root, code, length, symbol)
        code += 1
    return root


def _add(state: _State, code: int, length: int, symbol: int) -> None:
    for shift in range(length - 1, 0, -1):
        bit = code >> shift & 1
        found = state.one if bit else state.zero
        if isinstance(found, int):
            depth = length - shift
            found = _State(is_end=depth < 8 and code >> shift == (1 << depth) - 1)
            if bit:
                state.one = found
            else:
                state.zero = found
        state = found
    if code & 1:
        state.one = symbol
    else:
        state.zero = symbol


_ROOT: Final = _tree()


def decode(data: bytes) -> str:
    """Decode a text; each character is one byte of it.

    Raises:
        HpackInvalid: The bytes have the code of the end, or wrong padding.
    """
    state, parts = _ROOT, []
    for byte in data:
        if not state:
            _fill(state)
        found = state[byte]
        if found is None:
            raise HpackInvalid("a header field has the Huffman code of the end in its text")
        state, text = found
        parts.append(text)
    if not state.is_end:
        raise HpackInvalid("a header field ends within a Huffman code")
    return "".join(parts)


def _fill(state: _State) -> None:
    """Compute the transitions of a state: 256 of them, once in a process. All states together take about 8 MB."""
    state.extend(_step(state, byte) for byte in range(256))


def _step(state: _State, byte: int) -> tuple[_State, str] | None:
    text = ""
    for shift in range(7, -1, -1):
        found = state.one if byte >> shift & 1 else state.zero
        if isinstance(found, int):
            if found == _END:
                return None
            text += chr(found)
            state = _ROOT
        else:
            state = found
    return state, text
