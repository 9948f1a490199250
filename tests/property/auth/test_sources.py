"""An entry matches an address exactly if `ipaddress` finds it in one of its sources."""

import ipaddress

from hypothesis import example, given
from hypothesis import strategies as st

from mqguard.auth.decide import decide
from mqguard.auth.policy import Action, Decision, Entry
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Source
from mqguard.auth.user import User
from mqguard.auth.verdict import AccessRequest
from tests.property.auth.worlds import acl_of, quick

# A few addresses in the middle of each family, its first, and its last ones.
BASES4 = [int(ipaddress.ip_address(text)) for text in ("0.0.0.0", "10.0.0.0", "255.255.255.240")]
BASES6 = [int(ipaddress.ip_address(text)) for text in ("::", "2001:db8::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0")]
NEAR = range(16)
ADDRESSES = [
    *(ipaddress.IPv4Address(base + number) for base in BASES4 for number in NEAR),
    *(ipaddress.IPv6Address(base + number) for base in BASES6 for number in NEAR),
]


def source(family: tuple[type, list[int], int], base: int, number: int, wide: int) -> Source:
    kind, bases, bits = family
    return Source.parse(f"{kind(bases[base] + number)}/{bits - wide}")


FAMILIES = ((ipaddress.IPv4Address, BASES4, 32), (ipaddress.IPv6Address, BASES6, 128))
sources = st.builds(
    source, st.sampled_from(FAMILIES), st.sampled_from([0, 1, 1, 1, 2]), st.sampled_from(NEAR), st.integers(0, 4)
)


def parsed(text: str) -> list[Source]:
    return [Source.parse(one) for one in text.split()]


def rights_from(chosen: list[Source]) -> Rights:
    entry = Entry(Resource.parse("Topic:t"), (Action.PUB,), tuple(chosen), Decision.ALLOW)
    return Rights(User("u", ()), acl_of((entry,)))


@quick
@given(st.lists(sources, min_size=1, max_size=8))
@example(parsed("10.0.0.1 10.0.0.3 2001:db8::1 2001:db8::3 2001:db8::5"))
@example(parsed("10.0.0.0/31 10.0.0.0/28 10.0.0.3 10.0.0.1"))
@example(parsed("2001:db8::/127 2001:db8::/124 2001:db8::3 ::/128"))
@example(parsed("0.0.0.0/0 255.255.255.255 ::/0"))
def test_an_address_is_allowed_if_one_of_the_sources_contains_it(chosen):
    rights = rights_from(chosen)
    for address in ADDRESSES:
        held = any(address in one.network for one in chosen if one.network.version == address.version)
        request = AccessRequest(ResourceType.TOPIC, "t", frozenset({Action.PUB}), address)
        assert decide(request, rights).allowed is held, address


def test_sources_that_touch_or_overlap_are_one_range():
    rights = rights_from(parsed("10.0.0.2/31 10.0.0.0/31 10.0.0.3 10.0.0.4 10.0.0.6 2001:db8::/127 2001:db8::2"))
    rights.compile()
    ranges = rights.names[ResourceType.TOPIC].find("t").rule.ranges
    start4, start6 = BASES4[1], BASES6[1]
    assert (ranges.starts4, ranges.ends4) == ((start4, start4 + 6), (start4 + 4, start4 + 6))
    assert (ranges.starts6, ranges.ends6) == ((start6,), (start6 + 2,))
