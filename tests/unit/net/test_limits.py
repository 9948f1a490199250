"""Bounds of memory, open files and log lines."""

import logging
import resource

import pytest

from mqguard.model.peer import Channel, Peer
from mqguard.net.limits import RateLimitedLog, allow_files, largest_consumer


def test_lines_over_the_limit_are_counted_and_the_count_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    gate = RateLimitedLog(logging.getLogger("test"), lambda: now, lines=2, period=10)
    for number in range(5):
        gate.warn("line %d", number)
    assert caplog.messages == ["line 0", "line 1"]
    now = 10.0
    gate.warn("line %d", 5)
    assert caplog.messages[2:] == ["3 more lines of this kind were not logged", "line 5"]


def test_the_file_limit_is_raised_and_never_lowered() -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_200, hard))
        allow_files(500)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1_524, hard)
        allow_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1_524, hard)
        allow_files(10**9)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= (hard if hard >= 0 else 10**9 + 1024)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


class Holding:
    def __init__(self, ip: str, size: int) -> None:
        self.peer = Peer(ip, 1, Channel("c"))
        self.size = size


@pytest.mark.parametrize(
    ("held", "worst"),
    [
        ([], None),
        ([("a", 0), ("b", 0)], None),
        ([("a", 5), ("b", 9), ("a", 3)], 1),
        ([("a", 5), ("b", 9), ("a", 6)], 2),
    ],
)
def test_the_largest_connection_of_the_largest_address_is_chosen(
    held: list[tuple[str, int]], worst: int | None
) -> None:
    links = [Holding(ip, size) for ip, size in held]
    assert largest_consumer(links, lambda link: link.size) is (None if worst is None else links[worst])
