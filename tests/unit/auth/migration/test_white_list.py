"""White lists match the addresses that they match in ACL 1.0, and are refused if 1.0 refuses them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.migration.white_list import WhiteListInvalid, parse_white_list
from mqguard.auth.source import parse_address
from tests.unit.auth.migration.white_list_vectors import ADDRESSES, REFUSED, VECTORS


def matches(white, text):
    return white.everybody or any(parse_address(text) in network for network in white.networks)


@pytest.mark.parametrize("text", VECTORS)
def test_each_notation_matches_the_same_addresses_as_in_1_0(text):
    """A text on which 1.0 fails at each request is refused, too."""
    if VECTORS[text] == REFUSED or "e" in VECTORS[text]:
        with pytest.raises(WhiteListInvalid):
            parse_white_list(text)
        return
    white = parse_white_list(text)

    assert "".join("y" if matches(white, address) else "n" for address in ADDRESSES) == VECTORS[text]
    assert white.is_empty is (not white.everybody and not white.networks)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", "no address"),
        ("\t ", "no address"),
        ("*", "every address"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1,10.0.0.1", "10.0.0.1"),
        ("10.0.0.*", "10.0.0.0/24"),
        ("10.0.*.5", "10.0.0.0/16"),
        ("10.0.0.1-4", "10.0.0.1, 10.0.0.4, 10.0.0.2/31"),
        ("2001:db8::*", "2001:db8::/48"),
        ("fe80:0:0:0:0:0:0:*", "fe80::/112"),
    ],
)
def test_the_meaning_of_a_white_list_is_shown_in_cidr_notation(text, meaning):
    """The text has single addresses first."""
    assert parse_white_list(text).text == meaning


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10.0.0.0/8", "1.0 does not know CIDR ranges such as `10.0.0.0/8`"),
        ("10.0.0.1, 10.0.0.2", "1.0 refuses the space in ` 10.0.0.2`"),
        ("10.0.0.*,10.0.1.*", "1.0 takes no ranges in lists, such as `10.0.0.*`"),
        ("10.0.{1,2}.*", "1.0 only takes braces for the whole last part, such as `10.0.0.{1,2}`"),
        ("10.0.0.9-300", "`9-300` is not a range from a smaller to a larger number up to 255"),
        ("fe80:0:0:0:0:0:0:9-1", "`9-1` is not a range from a smaller to a larger number up to ffff"),
        ("broker.example", "1.0 refuses `broker.example`, which is not an IP address"),
        ("10.0.0.0-0", "1.0 accepts it at start, but then fails on every request that it compares with it"),
    ],
)
def test_the_reason_names_what_1_0_refuses(text, reason):
    """The reason quotes the part and names the right form."""
    with pytest.raises(WhiteListInvalid) as caught:
        parse_white_list(text)
    assert str(caught.value) == reason


@given(st.text("0123456789abcdef.:*-{},/% +g", max_size=30))
def test_any_text_has_a_meaning_or_a_reason(text):
    """No text causes an error of another kind, and the sources are the matched addresses."""
    try:
        white = parse_white_list(text)
    except WhiteListInvalid:
        return
    assert {source.network for source in white.sources} == set(white.networks)


@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_range_matches_exactly_its_numbers(head, one, other, asked):
    """A range of the last part has the addresses between its bounds, both included."""
    first, last = sorted((one, other))
    start = ".".join(map(str, head))
    if last == 0:
        return
    white = parse_white_list(f"{start}.{first}-{last}")

    assert matches(white, f"{start}.{asked}") is (first <= asked <= last)
    assert sum(network.num_addresses for network in white.networks) == last - first + 1
    assert all(isinstance(network, ipaddress.IPv4Network) for network in white.networks)
