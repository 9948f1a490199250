"""The map of the addresses of brokers and of the guard."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.proxy.sessions.addresses import AddressMap, advertised

HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None).map(lambda ip: f"[{ip}]"),
    st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?(\.[a-z]{2,5})?", fullmatch=True),
)
ADDRESSES = st.builds("{}:{}".format, HOSTS, st.integers(4, 65_535))


@given(st.dictionaries(ADDRESSES, ADDRESSES, max_size=8))
def test_it_maps_both_ways(wanted: dict[str, str]) -> None:
    """Each broker is found by its address, and by that of the guard; the VIP port goes along."""
    addresses = AddressMap()
    guards: dict[str, str] = {}
    for upstream, guard in wanted.items():
        if guard not in guards.values():
            addresses.put(upstream, advertised(guard))
            guards[upstream] = guard
    for upstream, guard in guards.items():
        assert addresses.guard_of(upstream) == guard
        assert addresses.upstream_of(guard) == upstream
    for upstream, guard in guards.items():
        vip, guard_vip = _below(upstream), _below(guard)
        if vip not in guards:
            assert addresses.guard_of(vip) == guard_vip
        if guard_vip not in guards.values():
            assert addresses.upstream_of(guard_vip) == vip
    assert len(addresses) == len(guards)


def _below(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) - 2}"


@given(ADDRESSES, st.binary(max_size=40))
def test_an_unknown_address_has_no_counterpart(address: str, other: bytes) -> None:
    addresses = AddressMap()
    addresses.put("192.0.2.1:10911", advertised("198.51.100.1:20000"))
    for text in (address, other.decode("latin-1")):
        if not text.startswith(("192.0.2.1:", "198.51.100.1:")):
            assert addresses.guard_of(text) is None
            assert addresses.upstream_of(text) is None


def test_a_removed_broker_leaves_no_trace() -> None:
    addresses = AddressMap()
    addresses.put("192.0.2.1:10911", advertised("198.51.100.1:20000"))
    addresses.put("192.0.2.1:10911", advertised("198.51.100.1:30000"))
    assert addresses.upstream_of("198.51.100.1:20000") is None
    addresses.remove("192.0.2.1:10911")
    addresses.remove("192.0.2.1:10911")
    assert (len(addresses), addresses.packed) == (0, {})
    assert addresses.replace_in("192.0.2.1:10911") == "192.0.2.1:10911"


def test_two_brokers_cannot_share_an_address() -> None:
    addresses = AddressMap()
    addresses.put("192.0.2.1:10911", advertised("198.51.100.1:20000"))
    with pytest.raises(ValueError, match=r"198\.51\.100\.1:20000"):
        addresses.put("192.0.2.2:10911", advertised("198.51.100.1:20000"))


@pytest.mark.parametrize("text", ["", "host", "host:", "host:0", ":10911", "host:70000", "host:1x"])
def test_invalid_addresses_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        advertised(text)
    with pytest.raises(ValueError, match="not an address"):
        AddressMap().put(text, advertised("198.51.100.1:20000"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the broker[192.0.2.1] is forbidden", "the broker[guard.example] is forbidden"),
        ("192.0.2.1:10911;192.0.2.1:10909", "guard.example:20000;guard.example:19998"),
        ("192.0.2.1:10912", "guard.example:0"),
        ("192.0.2.10:10911 1192.0.2.1 192.0.2.1.5", "192.0.2.10:10911 1192.0.2.1 192.0.2.1.5"),
        ("at /192.0.2.1:10911.", "at /guard.example:20000."),
        ("[2001:db8::1]:10911 or 2001:db8::1", "guard.example:20002 or guard.example"),
        ("Broker-B:10911 broker-b-2", "guard.example:20004 broker-b-2"),
    ],
)
def test_texts_lose_the_addresses_of_brokers(text: str, expected: str) -> None:
    addresses = AddressMap()
    addresses.put("192.0.2.1:10911", advertised("guard.example:20000"))
    addresses.put("[2001:db8::1]:10911", advertised("guard.example:20002"))
    addresses.put("broker-b:10911", advertised("guard.example:20004"))
    assert addresses.replace_in(text) == expected


def test_message_ids_need_an_ip_address() -> None:
    assert advertised("guard.example:20000").packed == bytes(4) + (20_000).to_bytes(4, "big")
    assert advertised("guard.example:20000", "192.0.2.9").packed[:4] == ipaddress.ip_address("192.0.2.9").packed
    assert len(advertised("[2001:db8::1]:20000").packed) == 20
    with pytest.raises(ValueError, match="not an IP address"):
        advertised("guard.example:20000", "guard.example")
