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


class _Node:
    """One inner node of the tree.

    Attributes:
        zero: The node or symbol after a 0.
        one: The node or symbol after a 1.
        is_end: True if a text may end here, because the bits since the last symbol are padding.
        steps: For each next byte the node after it and the decoded text; empty until it is needed.
    """

    __slots__ = ("is_end", "one", "steps", "zero")

    def __init__(self, *, is_end: bool) -> None:
        self.zero: _Node | int = -1
        self.one: _Node | int = -1
        self.is_end = is_end
        self.steps: _Steps = []


_Steps = list["_Step"]
"""The steps from one node, in exact lists and tuples, which the interpreter reads fastest."""
_Step = tuple[_Steps, str, _Node]


def _tree() -> _Node:
    root = _Node(is_end=True)
    code, length = 0, 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda symbol: (_LENGTHS[symbol], symbol)):
        code <<= _LENGTHS[symbol] - length
        length = _LENGTHS[symbol]
        _add(root, code, length, symbol)
        code += 1
    return root


def _add(node: _Node, code: int, length: int, symbol: int) -> None:
    for shift in range(length - 1, 0, -1):
        bit = code >> shift & 1
        found = node.one if bit else node.zero
        if isinstance(found, int):
            depth = length - shift
            found = _Node(is_end=depth < 8 and code >> shift == (1 << depth) - 1)
            if bit:
                node.one = found
            else:
                node.zero = found
        node = found
    if code & 1:
        node.one = symbol
    else:
        node.zero = symbol


_ROOT: Final = _tree()
_INVALID: Final = _Node(is_end=False)
"""The node after the code of the end: nothing leads out of it, and no text ends in it."""
_START: Final[_Step] = (_ROOT.steps, "", _ROOT)


def decode(data: bytes) -> str:
    """Decode a text; each character is one byte of it.

    Raises:
        HpackInvalid: The bytes have the code of the end, or wrong padding.
    """
    step = _START
    try:
        # A loop with a list of the parts takes a third longer.
        text = "".join([(step := step[0][byte])[1] for byte in data])
    except IndexError:
        _fill(step[2])
        return decode(data)
    if not step[2].is_end:
        raise HpackInvalid("a header field ends within a Huffman code, or has the code of the end")
    return text


def _fill(node: _Node) -> None:
    """Compute the steps from a node: 256 of them, once in a process. All nodes together take about 8 MB."""
    node.steps.extend([_step(node, byte) for byte in range(256)])


def _step(node: _Node, byte: int) -> _Step:
    text = ""
    if node is _INVALID:
        return _INVALID.steps, "", _INVALID
    for shift in range(7, -1, -1):
        found = node.one if byte >> shift & 1 else node.zero
        if isinstance(found, int):
            if found == _END:
                return _INVALID.steps, "", _INVALID
            text += chr(found)
            node = _ROOT
        else:
            node = found
    return node.steps, text, node
