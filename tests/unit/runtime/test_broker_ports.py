"""The ports of brokers at the guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from mqguard.config.proxy_options import PORTS, PortRange
from mqguard.runtime.broker_ports import PortAssignment
from mqguard.runtime.errors import StartFailed

ALL_KNOWN = lambda _key: False  # noqa: E731


def test_a_port_and_its_vip_port_belong_to_one_broker(tmp_path: Path) -> None:
    ports = PortAssignment(tmp_path / "ports", PortRange(11_000, 11_015))
    found: list[int] = []
    while (port := ports.get(f"b{len(found)}/0", ALL_KNOWN)) is not None:
        ports.put(f"b{len(found)}/0", port)
        found.append(port)
    used = [one for port in found for one in (port, port - 2)]
    assert len(found) == 8
    assert sorted(used) == list(range(11_000, 11_016))


def test_a_broker_keeps_its_port_after_a_restart(tmp_path: Path) -> None:
    path, range_ = tmp_path / "ports", PortRange(11_000, 11_015)
    first = PortAssignment(path, range_)
    for key in ("a/0", "b/0", "b/1"):
        first.put(key, first.get(key, ALL_KNOWN) or 0)
    again = PortAssignment(path, range_)
    assert [again.get(key, ALL_KNOWN) for key in ("b/1", "a/0", "b/0")] == [11_006, 11_002, 11_003]


def test_the_port_of_a_broker_that_has_left_is_used_only_if_no_other_is_free(tmp_path: Path) -> None:
    ports = PortAssignment(tmp_path / "ports", PortRange(11_000, 11_003))
    for key in ("a/0", "b/0"):
        ports.put(key, ports.get(key, ALL_KNOWN) or 0)
    assert ports.get("c/0", ALL_KNOWN) is None
    assert ports.get("c/0", lambda key: key == "b/0") == 11_003


def test_another_range_gives_other_ports(tmp_path: Path) -> None:
    PortAssignment(tmp_path / "ports", PortRange(11_000, 11_003)).put("a/0", 11_002)
    assert PortAssignment(tmp_path / "ports", PortRange(12_000, 12_003)).get("a/0", ALL_KNOWN) == 12_002


def test_a_damaged_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ports").write_text("not json")
    with pytest.raises(StartFailed, match="damaged"):
        PortAssignment(tmp_path / "ports", PORTS.read("0"))
