"""Addresses of servers, and errors in their answers."""

import pytest

from mqguard.admin.errors import AddressInvalid, PeerRefused
from mqguard.admin.session import split


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9876", "127.0.0.1", 9876),
        (" broker.example:1 ", "broker.example", 1),
        ("[::1]:65535", "[::1]", 65535),
        ("::1:9876", "::1", 9876),
    ],
)
def test_an_address_is_host_and_port(text, host, port):
    assert split(text) == (host, port)


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:0", "host:65536", "host:-1", "host:1x", "host:²"])
def test_an_invalid_address_is_refused_with_an_example(text):
    with pytest.raises(AddressInvalid, match=r"is not a valid address: write HOST:PORT, such as `127\.0\.0\.1:9876`"):
        split(text)


@pytest.mark.parametrize(
    ("code", "remark", "text"),
    [
        (16, "no", "no permission: no"),
        (3, " request type 9 not supported", "request code not supported: request type 9 not supported"),
        (17, "", "topic not exist"),
        (4711, "odd", "response code 4711: odd"),
    ],
)
def test_a_refusal_has_the_name_of_its_code_and_the_remark(code, remark, text):
    refused = PeerRefused(code, remark)
    assert (str(refused), refused.code) == (text, code)
