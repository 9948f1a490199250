"""Addresses in messages."""

import pytest

from mqguard.model.peer import address_text, packed_address


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("10.1.2.3", "0a010203"),
        ("::1", "0" * 31 + "1"),
        ("2001:db8::9", "20010db8" + "0" * 23 + "9"),
        ("::ffff:10.1.2.3", "0a010203"),
        ("", "00000000"),
        ("nowhere", "00000000"),
        ("10.1.2", "00000000"),
    ],
)
def test_addresses_become_bytes(text, packed):
    assert packed_address(text).hex() == packed


@pytest.mark.parametrize("text", ["10.1.2.3", "2001:db8::9"])
def test_bytes_become_addresses(text):
    assert address_text(packed_address(text)) == text
