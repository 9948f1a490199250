"""The processes that `mqguard standalone --brokers` plans."""

from pathlib import Path

import pytest

from mqguard.config import server_options
from mqguard.config.loader import Flag, load
from mqguard.runtime.components import Role
from mqguard.runtime.data_directory import warn_of_unserved
from mqguard.runtime.supervisor import broker_names, plan
from mqguard.telemetry.audit_files import logs_of_server


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ("broker-a", ["broker-a", "broker-b", "broker-c"]),
        ("x-a", ["x-a", "x-b", "x-c"]),
        ("main", ["main", "main-2", "main-3"]),
    ],
)
def test_brokers_have_names_in_order(first: str, names: list[str]) -> None:
    assert broker_names(first, 3) == names


def test_each_process_has_ports_and_directories_of_its_own(tmp_path: Path) -> None:
    """The first broker keeps the place of a single one, so that the number of brokers can change."""
    config = load(flags=[Flag("--data", "storePathRootDir", str(tmp_path)), Flag("--port", "listenPort", "12000")])
    namesrv, first, second = plan(config, 2)
    assert [one.role for one in (namesrv, first, second)] == [Role.NAMESRV, Role.BROKER, Role.BROKER]
    assert [one.has_lock for one in (namesrv, first, second)] == [True, True, False]
    assert [one.config.get(server_options.LISTEN_PORT) for one in (first, second)] == [12000, 12010]
    assert [one.config.get(server_options.STORE_PATH) for one in (namesrv, first, second)] == [
        tmp_path, tmp_path, tmp_path / "brokers" / "broker-b"
    ]  # fmt: skip
    audits = [one.config.get(server_options.AUDIT_PATH) or tmp_path / "audit" for one in (namesrv, first, second)]
    assert audits == [tmp_path / "audit" / "namesrv", tmp_path / "audit", tmp_path / "audit" / "broker-b"]
    assert {one.config.get(server_options.SHARED_ACCESS_PROCESSES) for one in (namesrv, first, second)} == {3}
    assert {one.config.get(server_options.SHARED_ACCESS_PATH) for one in (first, second)} == {tmp_path}


def test_any_free_port_is_wanted_for_each_broker(tmp_path: Path) -> None:
    config = load(flags=[Flag("--data", "storePathRootDir", str(tmp_path)), Flag("--port", "listenPort", "0")])
    assert {one.config.get(server_options.LISTEN_PORT) for one in plan(config, 3)} == {0}


def test_messages_that_are_not_served_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_unserved(tmp_path)
    (tmp_path / "brokers" / "broker-b").mkdir(parents=True)
    warn_of_unserved(tmp_path, ["broker-a", "broker-b"])
    assert not caplog.records
    warn_of_unserved(tmp_path, ["broker-a"])
    assert "`broker-b`" in caplog.text


def test_the_logs_of_other_processes_are_found(tmp_path: Path) -> None:
    """A log counts even if only older parts of it are left."""
    for name in ("audit.jsonl", "namesrv/audit.jsonl.2", "broker-b/audit.jsonl", "other/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    log = tmp_path / "audit.jsonl"
    assert logs_of_server(log) == [log, tmp_path / "broker-b" / log.name, tmp_path / "namesrv" / log.name]
