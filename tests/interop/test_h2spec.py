"""All conformance tests of HTTP/2 that `h2spec` has, against the server.

h2spec sends GET requests, and waits for an answer with content. The server answers a request that is not a gRPC call
before its end, and without content. So one run uses the server as it is, with TLS. Another one makes each request a
gRPC call.
"""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mqguard.net import grpc_protocol
from mqguard.rpc.calls import GrpcConnection
from tests.fixtures.grpc_client import prefixed
from tests.interop.toolchain import h2spec
from tests.unit.net.test_grpc import UNARY, grpc_port

pytestmark = pytest.mark.xdist_group("h2spec")

CONTENT = prefixed(b"x" * 100)

LENGTH = 'http2/8.1.2.6: Sends a HEADERS frame with the "content-length" header field'
ANSWERED_BEFORE = {
    "generic/2: Sends a WINDOW_UPDATE frame on half-closed (remote) stream",
    "generic/2: Sends a PRIORITY frame on half-closed (remote) stream",
    "http2/5.1: closed: Sends a DATA frame after sending RST_STREAM frame",
    "http2/5.1: closed: Sends a HEADERS frame after sending RST_STREAM frame",
    "http2/5.1.2: Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded",
    "http2/6.9: Sends a WINDOW_UPDATE frame with a flow control window increment of 0 on a stream",
    "http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream",
    "http2/8.1: Sends a second HEADERS frame without the END_STREAM flag",
    "http2/8.1.2.1: Sends a HEADERS frame that contains a pseudo-header field as trailers",
    f"{LENGTH} which does not equal the DATA frame payload length",
    f"{LENGTH} which does not equal the sum of the multiple DATA frames payload length",
}
"""Tests of frames that come after a request was answered: it is not a gRPC call, and its answer has no content."""
WITHOUT_CONTENT = 4
"""Tests that h2spec skips if an answer has no content."""


class HttpAsGrpc(GrpcConnection):
    """Makes the requests of HTTP calls of gRPC, each with the same message."""

    __slots__ = ()

    def opened(self, stream: int, names: list[str], values: list[str], is_end: bool) -> None:
        """Begin a call."""
        values = ["POST" if name == ":method" else value for name, value in zip(names, values, strict=True)]
        if "content-type" not in names:
            names, values = [*names, "content-type"], [*values, "application/grpc"]
        super().opened(stream, names, values, False)
        if is_end:
            super().received(stream, CONTENT, True)

    def received(self, stream: int, data: bytes, is_end: bool) -> None:
        """Ignore the content of the request."""
        if is_end:
            super().received(stream, CONTENT, True)


def run(port: int, report: Path, *options: str) -> tuple[set[str], int]:
    """Return the names of the tests that fail, and the number of those that were skipped."""
    command = [str(h2spec()), "-p", str(port), "-P", UNARY, "-S", "-o", "1", "-j", str(report), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    cases = list(ET.parse(report).getroot().iter("testcase"))
    assert len(cases) > 140, done.stdout + done.stderr
    failed = {f"{case.get('package')}: {case.get('classname')}" for case in cases if case.find("error") is not None}
    return failed, sum(case.find("skipped") is not None for case in cases)


def test_the_codec_passes_with_requests_that_are_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_protocol, "GrpcConnection", HttpAsGrpc)
    with grpc_port() as port:
        assert run(port.port, tmp_path / "report.xml") == (set(), 0)


def test_the_server_passes_with_tls(tmp_path: Path) -> None:
    with grpc_port() as port:
        assert run(port.port, tmp_path / "report.xml", "-t", "-k") == (ANSWERED_BEFORE, WITHOUT_CONTENT)
