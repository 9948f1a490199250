"""The frame that leaves for a server: the one that came in, or the same request with the guard's own signature.

A server must read in a frame what the guard has read in it. Java's parser also accepts `EXTFIELDS` or `ext_fields` for
`extFields`, and a second `code`. So a JSON header is passed on as it came only if it has exactly the form that Java
clients write. Any other one is encoded anew.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from mqguard.config.secret import Credentials
from mqguard.net.client import signed
from mqguard.remoting.command import Command
from mqguard.remoting.frame import BINARY, encode_request
from mqguard.remoting.signed_content import ACCESS_KEY, SECURITY_TOKEN, SIGNATURE

_CREDENTIALS: Final = frozenset({ACCESS_KEY, SIGNATURE, SECURITY_TOKEN})
_TEXT: Final = rb'"[^"\\{}]*+(?:\\[^{}][^"\\{}]*+)*+"'
_FORM: Final = re.compile(
    rb'\{"code":-?\d++,(?:"extFields":\{(?:%b:%b(?:,(?!\})|(?=\})))*+\},)?+"flag":\d++,"language":"[A-Z_]++",'
    rb'"opaque":-?\d++,"serializeTypeCurrentRPC":"JSON","version":\d++\}' % (_TEXT, _TEXT)
)
"""The header of a Java client without braces in its texts."""
_START: Final = 8
_is_exact = _FORM.fullmatch

Encode = Callable[[Command], bytes]


def encode_unsigned(command: Command) -> bytes:
    """Return the frame as it came, or the same command in the form that every server reads alike."""
    frame = command.frame
    if frame:
        if frame[4] == BINARY:
            return frame
        if _is_exact(frame, _START, _START + int.from_bytes(frame[5:8], "big")):
            return frame
    return encode_request(command)


def signer(credentials: Credentials) -> Encode:
    """Return a function that replaces the credentials of a request by the guard's own."""

    def encode(command: Command) -> bytes:
        ext = {name: value for name, value in command.ext.items() if name not in _CREDENTIALS}
        return encode_request(signed(msgspec.structs.replace(command, ext=ext), credentials))

    return encode
