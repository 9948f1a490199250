"""Frames that leave for a server."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials
from mqguard.proxy.sessions.upstream_frames import encode_unsigned, signer
from mqguard.remoting.command import Command, RemoteProtocolError
from mqguard.remoting.frame import FrameReader, encode_binary
from tests.fixtures.wire import User, request

KNOWN = ("code", "extFields", "flag", "language", "opaque", "remark", "serializeTypeCurrentRPC", "version")


def framed(header: bytes, body: bytes = b"") -> bytes:
    return (4 + len(header) + len(body)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header + body


def read(frame: bytes) -> Command:
    (command,) = FrameReader(keeps_frames=True).feed(frame)
    return command


def java(
    code: int = 310, opaque: int = 7, ext: str = '{"a":"p","i":"UNIQ_KEY\\u0001x\\u0002"}', more: str = ""
) -> bytes:
    text = f'{{"code":{code},"extFields":{ext},"flag":0,"language":"JAVA","opaque":{opaque}'
    return framed((text + f',"serializeTypeCurrentRPC":"JSON","version":513{more}}}').encode(), b"body")


def test_a_frame_of_a_java_client_leaves_as_it_came() -> None:
    command = read(java())
    assert encode_unsigned(command) is command.frame


def test_a_binary_frame_leaves_as_it_came() -> None:
    frame = encode_binary(Command(310, 7, 0, 513, 0, None, {"a": "p"}, b"body"))
    assert encode_unsigned(read(frame)) == frame


@given(st.sampled_from(["code", "extFields", "flag", "opaque"]), st.integers(0, 7), st.booleans())
def test_another_spelling_of_a_field_never_leaves(field: str, bits: int, after: bool) -> None:
    """Apache's parser ignores case, `_` and `-` in names."""
    name = "".join(
        {0: letter, 1: letter.upper(), 2: f"_{letter}"}.get((bits >> index) % 3, letter)
        for index, letter in enumerate(field)
    )
    value = '{"b":"secret"}' if field == "extFields" else "11"
    frame = java(more=f',"{name}":{value}') if after else java(ext=f'{{"a":"p"}},"{name}":{value}')
    try:
        command = read(frame)
    except RemoteProtocolError:
        return
    left = encode_unsigned(command)
    header = json.loads(left[8 : 8 + int.from_bytes(left[5:8], "big")], object_pairs_hook=list)
    names = [key for key, _ in header]
    assert set(names) <= set(KNOWN)
    assert len(names) == len(set(names))
    assert read(left).ext == command.ext
    assert read(left).code == command.code


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=5), st.binary(max_size=16))
def test_the_server_reads_what_the_guard_has_read(ext: dict[str, str], body: bytes) -> None:
    text = json.dumps({"code": 310, "extFields": ext, "flag": 0, "language": "GO", "opaque": 7, "version": 400})
    command = read(framed(text.encode(), body))
    again = read(encode_unsigned(command))
    assert (again.code, again.opaque, again.flag, again.ext, again.body) == (310, 7, 0, ext, body)


def test_the_credentials_of_the_client_are_replaced_by_those_of_the_guard() -> None:
    encode = signer(Credentials("inner", Secret("inner-secret")))
    sent = read(request(310, {"b": "orders", "SecurityToken": "t"}, b"body", user=User("alice", "secret"), opaque=9))
    left = encode(sent)
    assert read(left).ext == read(request(310, {"b": "orders"}, b"body", user=User("inner", "inner-secret"))).ext
    assert (read(left).opaque, read(left).body) == (9, b"body")
    assert b"alice" not in left
