"""Sets of sources: short as text, and exact at the ends of both address families."""

import ipaddress

import pytest

from mqguard.auth.analysis.source_sets import ANYWHERE, NOWHERE, SourceSet
from mqguard.auth.source import Source, parse_address


def of(*texts):
    return SourceSet.of([Source.parse(text) for text in texts])


@pytest.mark.parametrize(
    ("origins", "text", "ranges"),
    [
        (ANYWHERE, "anywhere", ("0.0.0.0/0", "::/0", "unknown")),
        (NOWHERE, "nowhere", ()),
        (of("10.0.0.0/8"), "10.0.0.0/8", ("10.0.0.0/8",)),
        (of("10.0.0.1", "::1"), "10.0.0.1, ::1", ("10.0.0.1", "::1")),
        (of("10.0.0.0/9", "10.128.0.0/9"), "10.0.0.0/8", ("10.0.0.0/8",)),
        (of("0.0.0.0/0"), "0.0.0.0/0", ("0.0.0.0/0",)),
        (of("::/0"), "::/0", ("::/0",)),
        (of("::/1"), "::/1", ("::/1",)),
        (of("::ffff:10.0.0.0/104"), "10.0.0.0/8", ("10.0.0.0/8",)),
        (ANYWHERE - of("10.0.0.0/8"), "anywhere but 10.0.0.0/8", None),
        (ANYWHERE - of("10.0.0.0/8", "2001:db8::/32"), "anywhere but 10.0.0.0/8, 2001:db8::/32", None),
        (ANYWHERE - of("0.0.0.0/0", "::/0"), "an unknown address", ("unknown",)),
        (of("10.0.0.0/31") - of("10.0.0.0"), "10.0.0.1", ("10.0.0.1",)),
        (of("10.0.0.1", "10.0.0.3"), "10.0.0.1, 10.0.0.3", ("10.0.0.1", "10.0.0.3")),
        (of("10.0.0.1", "10.0.0.3", "10.0.0.2"), "10.0.0.1, 10.0.0.2/31", None),
        (ANYWHERE - of("128.0.0.0/1", "::/0"), "anywhere but 128.0.0.0/1, ::/0", None),
        (of("255.255.255.255", "0.0.0.0"), "0.0.0.0, 255.255.255.255", ("0.0.0.0", "255.255.255.255")),
    ],
)
def test_the_text_of_a_set_is_short(origins, text, ranges):
    """The text lists the included or the excluded ranges, whichever is shorter. Adjacent ranges are joined."""
    assert origins.text == text
    if ranges is not None:
        assert origins.ranges() == ranges


def test_mapped_addresses_are_ipv4_addresses():
    """A request from a mapped address is an IPv4 request. The IPv6 set has a gap there, which the text hides."""
    mapped = ipaddress.IPv6Address("::ffff:10.1.2.3")

    assert parse_address("::ffff:10.1.2.3") == ipaddress.IPv4Address("10.1.2.3")
    assert mapped in of("10.0.0.0/8")
    assert mapped not in of("::/0")
    assert ANYWHERE - of("0.0.0.0/0") - SourceSet(unknown=True) == of("::/0")


@pytest.mark.parametrize(
    ("origins", "sample"),
    [
        (ANYWHERE, "192.0.2.1"),
        (of("::/0"), "2001:db8::1"),
        (of("10.0.0.0/8"), "10.0.0.1"),
        (of("10.0.0.5"), "10.0.0.5"),
        (of("fd00::/8"), "fd00::1"),
        # The example is at an end of a range, and not in the first one.
        (of("192.0.2.0/24") - of("192.0.2.0"), "192.0.2.1"),
        (of("10.0.0.0/8", "192.0.2.0/31"), "192.0.2.1"),
        (of("10.0.0.0/8", "192.0.2.1"), "192.0.2.1"),
        (of("10.0.0.0/8", "192.0.2.2"), "10.0.0.1"),
        (of("fd00::/8", "2001:db8::/32") - of("2001:db8::/128"), "2001:db8::1"),
        (SourceSet(unknown=True), "None"),
    ],
)
def test_a_sample_is_simple(origins, sample):
    """The sample is an address reserved for examples, else the first that looks like a host."""
    assert str(origins.sample()) == sample


def test_an_empty_set_has_no_sample():
    """A caller must not ask for a sample of an empty set."""
    with pytest.raises(ValueError, match="no sample"):
        NOWHERE.sample()


def test_edges():
    """The first and last addresses of both families are included, and the families are never joined."""
    for text in ("0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"):
        only = of(text)
        assert parse_address(text) in only
        assert (only | only) == only
        assert (only - only).is_empty
        assert (ANYWHERE - only) | only == ANYWHERE


def test_the_gap_is_as_wide_as_ipv4():
    """The gap is exact at both ends."""
    everywhere = of("::/0")

    assert sum(last - first + 1 for first, last in everywhere.v6) == 2**128 - 2**32
    assert ipaddress.IPv6Address("::fffe:ffff:ffff") in everywhere
    assert ipaddress.IPv6Address("::1:0:0:0") in everywhere
    assert ANYWHERE.v6 == everywhere.v6
    assert ANYWHERE.v4 == ((0, 2**32 - 1),)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], "nowhere"),
        (["10.0.0.0/8"], "10.0.0.0/8"),
        (["10.0.0.2", "::1", "10.0.0.3", "10.0.0.0/31"], "10.0.0.0/30, ::1"),
    ],
)
def test_many_sets_are_joined_at_once(parts, text):
    """A union of many sets equals the unions one after the other."""
    sets = [of(part) for part in parts]

    assert SourceSet.union(sets).text == text
    assert SourceSet.union([*sets, ANYWHERE]) is ANYWHERE
    assert SourceSet.union([*sets, SourceSet.single(None)]) == SourceSet.union(sets) | SourceSet.single(None)


TEN = of(*(f"10.0.0.{2 * number}" for number in range(10)))


@pytest.mark.parametrize(
    ("origins", "most", "text"),
    [
        (TEN, 2, "10.0.0.0, 10.0.0.2, 8 more"),
        (TEN, 9, ", ".join([*(f"10.0.0.{2 * number}" for number in range(9)), "1 more"])),
        (TEN, 10, TEN.text),
        (TEN, None, ", ".join(f"10.0.0.{2 * number}" for number in range(10))),
        (ANYWHERE - TEN, 1, "anywhere but 10.0.0.0, 9 more"),
        (SourceSet(unknown=True), 1, "an unknown address"),
        (of("10.0.0.0/8", "::1") | SourceSet(unknown=True), 1, "10.0.0.0/8, 2 more"),
        (ANYWHERE, 1, "anywhere"),
        (NOWHERE, 1, "nowhere"),
    ],
)
def test_a_long_list_is_cut(origins, most, text):
    """The text says how many ranges are left out."""
    assert origins.brief(most) == text


def test_a_union_contains_each_of_the_sets():
    """This holds for one or many sets, for both families, and for the unknown address."""
    parts = [of("10.0.0.0/8"), of("::1"), SourceSet.single(None), of("11.0.0.0/8", "::2"), NOWHERE]
    for size in range(len(parts) + 1):
        one_by_one = NOWHERE
        for part in parts[:size]:
            one_by_one |= part
        assert SourceSet.union(parts[:size]) == SourceSet.union(iter(parts[:size])) == one_by_one
    assert SourceSet.union(parts).ranges() == ("10.0.0.0/7", "::1", "::2", "unknown")
