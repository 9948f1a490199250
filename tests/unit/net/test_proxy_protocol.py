"""PROXY protocol headers, and who may send them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.net.proxy_protocol import ProxyHeader, ProxyHeaderInvalid, may_begin, read
from mqguard.net.settings import NetSettings, TlsMode, TlsSettings
from tests.unit.net.serving import Echo, asking, proxy_v2, serving

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = bytes([10, 1, 2, 3, 10, 9, 8, 7]) + struct.pack(">HH", 1111, 2222)
IPV6 = bytes.fromhex("20010db8000000000000000000000001" * 2) + struct.pack(">HH", 1111, 2222)
MAPPED = bytes.fromhex("00000000000000000000ffff0a010203" * 2) + struct.pack(">HH", 1111, 2222)


def v2(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(rest)) + rest


@pytest.mark.parametrize(
    ("data", "ip", "port"),
    [
        (b"PROXY TCP4 10.1.2.3 10.9.8.7 1111 2222\r\n", "10.1.2.3", 1111),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 2222\r\n", "2001:db8::1", 1111),
        (b"PROXY TCP6 ::ffff:10.1.2.3 ::1 1111 2222\r\n", "10.1.2.3", 1111),
        (b"PROXY UNKNOWN\r\n", None, 0),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None, 0),
        (v2(0x21, 0x11, IPV4), "10.1.2.3", 1111),
        (v2(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), "10.1.2.3", 1111),
        (v2(0x21, 0x21, IPV6), "2001:db8::1", 1111),
        (v2(0x21, 0x21, MAPPED), "10.1.2.3", 1111),
        (v2(0x21, 0x31, bytes(216)), None, 0),
        (v2(0x21, 0x00, b""), None, 0),
        (v2(0x20, 0x11, IPV4), None, 0),
        (v2(0x20, 0x00, b""), None, 0),
    ],
)
def test_a_header_is_read_once_it_is_complete(data: bytes, ip: str | None, port: int) -> None:
    assert may_begin(data)
    assert read(data + b"\x00\x00") == ProxyHeader(ip, port, len(data))
    for end in range(1, len(data)):
        assert read(data[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\n",
        b"PROXY TCP4 10.1.2.3 10.9.8.7 1111\r\n",
        b"PROXY TCP4 10.1.2.3 10.9.8.7 1111 2222 3\r\n",
        b"PROXY TCP4  10.1.2.3 10.9.8.7 1111 2222\r\n",
        b"PROXY TCP4 10.1.2.3 10.9.8.7 1111 65536\r\n",
        b"PROXY TCP4 10.1.2.3 10.9.8.7 x 2222\r\n",
        b"PROXY TCP4 10.1.2.3 10.9.8.7 -1 2222\r\n",
        b"PROXY TCP4 10.1.2 10.9.8.7 1111 2222\r\n",
        b"PROXY TCP4 ::1 10.9.8.7 1111 2222\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1111 2222\r\n",
        b"PROXY TCP5 10.1.2.3 10.9.8.7 1111 2222\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 " + b"1" * 200,
        b"\r\n\r\nhello",
        v2(0x11, 0x11, IPV4),
        v2(0x22, 0x11, IPV4),
        v2(0x21, 0x11, IPV4[:-1]),
        v2(0x21, 0x21, IPV4),
    ],
)
def test_invalid_headers_are_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderInvalid):
        read(data)


@given(st.one_of(st.binary(min_size=1, max_size=60), st.binary(max_size=40).map(lambda rest: SIGNATURE + rest),
                 st.text(max_size=60).map(lambda rest: b"PROXY " + rest.encode())))  # fmt: skip
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        header = read(data)
    except ProxyHeaderInvalid:
        return
    assert header is None or 0 < header.size <= len(data)


def settings(*peers: str) -> NetSettings:
    return NetSettings(proxy_protocol_peers=peers, tls=TlsSettings(mode=TlsMode.DISABLED))


@pytest.mark.parametrize("header", [proxy_v2("10.1.2.3", 77), b"PROXY TCP4 10.1.2.3 10.9.8.7 77 2222\r\n"])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_listed_peer_names_the_address_of_its_client(header: bytes, in_pieces: bool) -> None:
    app = Echo()
    with serving(app, settings("192.0.2.0/24", "127.0.0.1")) as running, running.connect() as client:
        data = header + asking(1)
        for piece in [data[at : at + 1] for at in range(len(data))] if in_pieces else [data]:
            client.send(piece)
        assert client.read()[0].ext["ip"] == "10.1.2.3"
        (link,) = app.open.values()
        assert link.peer.port == 77


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(0x20, 0, b""), b""])
def test_a_listed_peer_may_be_the_client_itself(header: bytes) -> None:
    with serving(Echo(), settings("127.0.0.1")) as running, running.connect(first=header) as client:
        assert client.call(1).ext["ip"] == "127.0.0.1"


@pytest.mark.parametrize("peers", [(), ("10.0.0.0/8", "::1")])
@pytest.mark.parametrize("header", [proxy_v2("10.1.2.3", 77), b"PROXY TCP4 10.1.2.3 10.9.8.7 77 2222\r\n"])
def test_headers_of_other_peers_are_not_accepted(
    peers: tuple[str, ...], header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Echo(), settings(*peers)) as running, running.connect() as client:
        client.send(header + asking(1))
        assert client.is_dropped()
        assert client.answers == []
    assert "it sent a PROXY protocol header and its address is not in `proxyProtocolPeers`" in caplog.text


def test_a_second_header_is_not_a_frame() -> None:
    with serving(Echo(), settings("127.0.0.1")) as running, running.connect() as client:
        client.send(proxy_v2("10.1.2.3", 77) + proxy_v2("10.1.2.4", 77) + asking(1))
        assert client.is_dropped()
        assert client.answers == []


def test_an_invalid_header_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), settings("127.0.0.1")) as running, running.connect() as client:
        client.send(b"PROXY TCP9 x\r\n" + asking(1))
        assert client.is_dropped()
    assert "its PROXY protocol header is not valid" in caplog.text
