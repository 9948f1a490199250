"""Bodies of messages that gRPC clients send packed."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.proxy.grpc.messages import body_of
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.rpc.protocol import messages_pb2 as pb

SETTINGS = ProxySettings(max_body=1_000)
PACKERS = [gzip.compress, zlib.compress]
"""`GZIP` names both forms: the client for C++ sends zlib's."""


def packed(body: bytes) -> pb.Message:
    return pb.Message(body=body, system_properties=pb.SystemProperties(body_encoding=pb.GZIP))


@given(st.binary(min_size=1, max_size=1_000), st.sampled_from(PACKERS))
def test_a_packed_body_is_stored_as_it_was(body, pack):
    assert body_of(packed(pack(body)), SETTINGS) == body


@given(st.binary(min_size=1, max_size=1_000), st.sampled_from(PACKERS), st.data())
def test_a_cut_body_is_refused(body, pack, data):
    whole = pack(body)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(CallRefused) as refused:
        body_of(packed(cut), SETTINGS)
    assert refused.value.code == pb.MESSAGE_CORRUPTED


@pytest.mark.parametrize("pack", PACKERS)
def test_a_body_with_bytes_behind_it_is_refused(pack):
    with pytest.raises(CallRefused) as refused:
        body_of(packed(pack(b"m") + b"x"), SETTINGS)
    assert refused.value.code == pb.MESSAGE_CORRUPTED


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("size", [1_001, 10_000_000])
def test_a_body_that_is_too_large_once_unpacked_is_refused(pack, size):
    with pytest.raises(CallRefused) as refused:
        body_of(packed(pack(bytes(size))), SETTINGS)
    assert refused.value.code == pb.MESSAGE_BODY_TOO_LARGE


def test_a_body_that_is_not_packed_is_refused():
    with pytest.raises(CallRefused) as refused:
        body_of(packed(b"plain"), SETTINGS)
    assert refused.value.code == pb.MESSAGE_CORRUPTED
