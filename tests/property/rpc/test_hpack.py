"""Header fields are decoded as the package `hpack` encodes them, and encoded so that it decodes them."""

import hpack as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.rpc import huffman
from mqguard.rpc.errors import ConnectionFailed, HpackInvalid
from mqguard.rpc.hpack import Decoder, Field, encode

LATIN = st.text(st.characters(max_codepoint=255), max_size=60)
KNOWN = st.sampled_from([":path", ":method", ":status", "content-type", "authorization", "grpc-status", "te", "age"])
NAMES = KNOWN | st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=300)
FIELDS = st.lists(st.tuples(NAMES, LATIN | st.sampled_from(["200", "POST", "trailers", ""])), max_size=20)


def decoded(decoder: Decoder, block: bytes) -> list[Field]:
    """Return the fields of a block."""
    names, values = decoder.decode(block)
    return list(zip(names, values, strict=True))


@given(st.lists(st.tuples(FIELDS, st.booleans(), st.none() | st.integers(0, 4096)), max_size=6))
def test_blocks_of_another_encoder_are_decoded(blocks: list[tuple[list[Field], bool, int | None]]) -> None:
    encoder, decoder = oracle.Encoder(), Decoder(1 << 20)
    for fields, is_compressed, table in blocks:
        if table is not None:
            encoder.header_table_size = table
        block = encoder.encode(
            [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields], huffman=is_compressed
        )
        assert decoded(decoder, block) == fields


@given(FIELDS)
def test_another_decoder_reads_what_is_encoded(fields: list[Field]) -> None:
    found = oracle.Decoder(max_header_list_size=1 << 20).decode(encode(fields), raw=True)
    assert [(name.decode("latin-1"), value.decode("latin-1")) for name, value in found] == fields


@given(st.binary(max_size=40))
def test_huffman_codes_are_those_of_another_decoder(data: bytes) -> None:
    block = b"\x00\x01a" + bytes((0x80 | len(data),)) + data
    try:
        expected = oracle.Decoder().decode(block, raw=True)[0][1].decode("latin-1")
    except oracle.HPACKDecodingError:
        with pytest.raises(HpackInvalid):
            huffman.decode(data)
    else:
        assert huffman.decode(data) == expected


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_give_fields_or_an_error(blocks: list[bytes]) -> None:
    decoder, limit = Decoder(2000), 2000
    for block in blocks:
        try:
            fields = decoded(decoder, block)
        except ConnectionFailed:
            return
        assert sum(len(name) + len(value) + 32 for name, value in fields) <= limit


@given(FIELDS, st.integers(0, 3000))
def test_the_limit_of_fields_counts_them_as_the_protocol_does(fields: list[Field], limit: int) -> None:
    size = sum(len(name) + len(value) + 32 for name, value in fields)
    block = encode(fields)
    if size <= limit:
        assert decoded(Decoder(limit), block) == fields
    else:
        with pytest.raises(ConnectionFailed):
            Decoder(limit).decode(block)
