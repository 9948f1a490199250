"""Options of a running server that an administrator changes over the wire."""

from pathlib import Path

from tests.fixtures.access import ADMIN
from tests.fixtures.server import Server
from tests.fixtures.wire import Wire

CHANGE, SHOW = 25, 26


def shown(server: Server) -> dict[str, str]:
    with Wire(server.broker_port, ADMIN) as admin:
        lines = admin.call(SHOW, {}).body.decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_a_change_is_in_force_until_the_server_stops(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"fileReservedTime": "24"}) as server:
        with Wire(server.broker_port, ADMIN) as admin:
            assert admin.call(CHANGE, {}, b"fileReservedTime=48\nmaxMessageSize=64K\n").code == 0
            refused = admin.call(CHANGE, {}, b"fileReservedTime=1\nbindAddress=0.0.0.0\n")
        assert refused.code == 16
        assert "`bindAddress` cannot be changed over the wire: it concerns listeners" in (refused.remark or "")
        assert (shown(server)["fileReservedTime"], shown(server)["maxMessageSize"]) == ("48", "64K")
        log = (tmp_path / "stderr").read_text()
        assert "User:rocketmq has set `fileReservedTime = 48` until the server stops" in log
        server.stop()
        server.start()
        assert (shown(server)["fileReservedTime"], shown(server)["maxMessageSize"]) == ("24", "4194304")


def test_a_secret_is_neither_shown_nor_changed(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with Wire(server.broker_port, ADMIN) as admin:
            body = b'initAuthenticationUser={"username":"eve","password":"let-me-in-now"}'
            refused = admin.call(CHANGE, {}, body)
        assert refused.code == 16
        assert "let-me-in-now" not in (refused.remark or "")
        assert "12345678" not in "".join(shown(server).values())
        assert "let-me-in-now" not in (tmp_path / "stderr").read_text()
