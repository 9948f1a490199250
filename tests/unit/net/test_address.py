"""Addresses made fit to compare."""

import pytest

from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.proxy_protocol import is_within, parse_networks, plain_ip


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::1", "::1"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_zones_and_ipv4_mappings_are_removed(text: str, plain: str) -> None:
    assert plain_ip(text) == plain


def test_membership_is_of_the_same_family() -> None:
    networks = parse_networks(("10.0.0.0/8", " 2001:db8::/32", "192.0.2.7"), "peers")
    assert is_within("10.255.0.1", networks)
    assert is_within("2001:db8::9", networks)
    assert is_within("192.0.2.7", networks)
    assert not is_within("192.0.2.8", networks)
    assert not is_within("::1", networks)
    assert not is_within("", networks)
    assert not is_within("localhost", networks)
    assert not is_within("10.0.0.1", ())


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "localhost", "10.0.0.*", "1-2"])
def test_a_text_that_is_not_a_network_is_refused(text: str) -> None:
    with pytest.raises(NetSettingsInvalid, match="in `peers` is not an address or CIDR range"):
        parse_networks((text,), "peers")
