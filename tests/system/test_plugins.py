"""A running server with plugins: the decision point of the example, and plugins that raise, hang or answer nonsense."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.access import create_topic, create_user, entry, expect, grant, pull, send, send_fields
from tests.fixtures.command import run
from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import CREATE_USER, SEND, User, Wire

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "http_pdp"
ROOT, ALICE = User(SUPER, SUPER_SECRET), User("alice", "alice-secret")
ALLOWED = [
    {"user": "alice", "type": "Topic", "name": "orders", "actions": ["Pub"]},
    {"user": "alice", "type": "Topic", "name": "fresh", "actions": ["Pub"]},
]
LIMIT_MS = 600


def example_server() -> Any:
    spec = importlib.util.spec_from_file_location("pdp_server", EXAMPLE / "pdp_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Switched:
    """The decision point of the example, which a test can make misbehave, stop and start again on its port."""

    def __init__(self, rules: Path) -> None:
        self.mode = "right"
        self.asked = 0
        self.connections = 0
        self.sockets: list[socket.socket] = []
        self.rules = rules
        self.free = threading.Event()
        self.port = 0
        self.start()

    def start(self) -> None:
        module, switch = example_server(), self

        class Pdp(module.Pdp):  # type: ignore[misc, name-defined]
            def answer(self, question: dict[str, Any]) -> tuple[int, bytes]:
                switch.asked += 1
                match switch.mode:
                    case "hang":
                        switch.free.wait(20)
                    case "rubbish":
                        return 200, b"<html>allow</html>"
                    case "another word":
                        return 200, b'{"decision": true}'
                    case "failing":
                        return 503, b'{"decision": "allow"}'
                    case "endless":
                        return 200, b'{"decision": "allow"}' + b" " * 100_000
                result: tuple[int, bytes] = super().answer(question)
                return result

            def process_request(self, request: Any, address: Any) -> None:
                switch.connections += 1
                switch.sockets.append(request)
                super().process_request(request, address)

            def handle_error(self, *_args: Any) -> None:
                """Ignore the error of a client that has stopped waiting."""

        self.server = Pdp(("127.0.0.1", self.port), self.rules)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def release(self) -> None:
        self.mode = "right"
        self.free.set()


@pytest.fixture
def pdp(tmp_path: Path) -> Iterator[Switched]:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(ALLOWED))
    found = Switched(rules)
    yield found
    found.release()
    found.stop()


Connect = Callable[[Server, User | None], Wire]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that connects; all connections are closed at the end."""
    made: list[Wire] = []

    def to(server: Server, user: User | None) -> Wire:
        made.append(Wire(server.broker_port, user))
        return made[-1]

    yield to
    for wire in made:
        wire.close()


def serving(directory: Path, monkeypatch: pytest.MonkeyPatch, *paths: Path, **settings: str) -> Server:
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, paths)))
    told = {key.replace("__", "."): value for key, value in settings.items()}
    return Server(directory, settings={"pluginTimeoutMs": str(LIMIT_MS), **told})


def wires(server: Server, connect: Connect) -> tuple[Wire, Wire]:
    admin = connect(server, ROOT)
    create_user(admin, ALICE.name, ALICE.secret)
    create_topic(admin, "orders")
    create_topic(admin, "secrets")
    return admin, connect(server, ALICE)


def test_the_decision_point_of_the_example_decides(
    tmp_path: Path, pdp: Switched, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    settings = {
        "authorizationProvider": "mqguard_http_pdp:HttpPdp",
        "plugin__http_pdp__url": f"http://127.0.0.1:{pdp.port}/decide",
        "plugin__http_pdp__timeout_ms": "300",
    }
    with serving(tmp_path, monkeypatch, EXAMPLE / "src", **settings) as server:
        admin, alice = wires(server, connect)

        expect(send(alice, "orders", b"one"))
        refused = send(alice, "secrets", b"x")
        assert refused.code == 16
        assert "no permission to access Topic:secrets" in (refused.remark or "")
        assert "[decision " in (refused.remark or "")
        assert pull(alice, "orders", "g", 0, 0).code == 16
        for number in range(20):
            expect(send(alice, "orders", b"%d" % number))
        assert pdp.connections <= 8, "connections are kept open"

        # A send that creates its topic needs Create, which the handler checks once it knows that.
        assert "needs the action Create" in (send(alice, "fresh", b"x").remark or "")
        pdp.rules.write_text(json.dumps([*ALLOWED, {**ALLOWED[1], "actions": ["Create"]}]))
        expect(send(alice, "fresh", b"x"))

        for mode in ("rubbish", "another word", "failing", "endless", "hang"):
            # A plugin that keeps failing is logged once a second.
            time.sleep(1.05)
            pdp.mode = mode
            started = time.monotonic()
            answer = send(alice, "orders", b"x")
            assert (answer.code, time.monotonic() - started < 3) == (16, True), mode
            started = time.monotonic()
            expect(send(admin, "orders", b"the super user is not asked about"))
            assert time.monotonic() - started < 0.25
        pdp.release()
        time.sleep(0.05)
        expect(send(alice, "orders", b"again"))

        time.sleep(1.05)
        pdp.stop()
        assert send(alice, "orders", b"x").code == 16
        pdp.start()
        expect(send(alice, "orders", b"again"))

        log = server.log()
        assert "authorizationProvider=mqguard_http_pdp:HttpPdp" in log
        assert "the PDP cannot be reached" in log
        assert "is not JSON" in log
        assert server.stop() == 0
    lines = [json.loads(line) for line in (server.data / "audit" / "audit.jsonl").read_text().splitlines()]
    reasons = {line["reason"] for line in lines if line.get("verdict") == "deny"}
    assert {"plugin-refused", "plugin-raised"} <= reasons


PLUGINS = """
import threading, time
from mqguard.guard.plugin_api import HandlerResult, NotAuthenticated, Ruling
from mqguard.store.metadata.memory import MemoryMetadataStore

class Base:
    quick = False
    def __init__(self, settings):
        self.kind = settings["kind"]
    def misbehave(self, right):
        kind = self.kind
        if kind == "raises":
            raise RuntimeError("no")
        if kind == "exits":
            raise SystemExit(1)
        if kind == "hangs":
            time.sleep(1000)
        if kind == "nonsense":
            return "allow"
        if kind == "truth":
            return True
        return right

class Provider(Base):
    def decide(self, question):
        return self.misbehave(Ruling.ALLOW)
    def authenticate(self, claim):
        found = self.misbehave(claim.user or NotAuthenticated.REFUSED)
        return found if found != "allow" else ["root"]

class Quick(Provider):
    quick = True

class Handler(Base):
    def check(self, *question):
        asked = question[0]
        return HandlerResult.NEXT if "alice" not in (asked.user, *question[1:]) else self.misbehave(HandlerResult.REFUSE)

class Sink:
    def __init__(self, settings):
        self.path = settings["sink"]
        self.failed = False
    def write(self, lines):
        if not self.failed:
            self.failed = True
            raise RuntimeError("not yet")
        with open(self.path, "ab") as file:
            file.write(b"".join(line + b"\\n" for line in lines))
    def close(self):
        with open(self.path, "ab") as file:
            file.write(b"closed\\n")

class Store(MemoryMetadataStore):
    def __init__(self, settings):
        super().__init__()
    def apply(self, changes, expected_revision):
        if any("slow" in repr(change) for change in changes):
            time.sleep(1000)
        if any("bad" in repr(change) for change in changes):
            raise RuntimeError("no")
        return super().apply(changes, expected_revision)

class Asynchronous:
    def __init__(self, settings): pass
    async def decide(self, question): pass

class Empty:
    def __init__(self, settings): pass

class Odd(Empty):
    quick = "yes"
    def decide(self): pass

def broken(settings):
    raise ValueError("write the colour")

word = "no factory"
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    directory = tmp_path / "plugins"
    info = directory / "some_plugins-1.dist-info"
    info.mkdir(parents=True)
    (directory / "some_plugins.py").write_text(PLUGINS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-plugins\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[mqguard.authorization_providers]\nallower = some_plugins:Provider\n[mqguard.audit_sinks]\nfile = some_plugins:Sink\n"
    )
    return directory


@pytest.mark.parametrize(
    ("key", "plugin", "kind"),
    [
        ("authorizationProvider", "Provider", "raises"),
        ("authorizationProvider", "Provider", "exits"),
        ("authorizationProvider", "Provider", "hangs"),
        ("authorizationProvider", "Provider", "nonsense"),
        ("authorizationProvider", "Quick", "exits"),
        ("authorizationProvider", "Quick", "truth"),
        ("authorizationHandlers", "Handler", "raises"),
        ("authorizationHandlers", "Handler", "hangs"),
        ("authorizationHandlers", "Handler", "right"),
        ("authenticationHandlers", "Handler", "truth"),
        ("authenticationHandlers", "Handler", "hangs"),
        ("authenticationHandlers", "Handler", "right"),
    ],
)
def test_a_plugin_that_misbehaves_denies_and_the_server_goes_on(
    tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect, key: str, plugin: str, kind: str
) -> None:
    settings = {key: f"some_plugins:{plugin}", "plugin__kind": kind, "pluginThreads": "2"}
    with serving(tmp_path, monkeypatch, plugins, **settings) as server:
        admin, alice = wires(server, connect)
        grant(admin, "alice", entry("Topic:orders", "Pub"))
        others = [connect(server, ALICE) for _ in range(6)]
        numbers = []
        for number, wire in enumerate(others):
            numbers.append(wire.post(SEND, send_fields("orders"), b"%d" % number))
        answer = send(alice, "orders", b"x")
        assert answer.code == 16
        assert "[decision " in (answer.remark or "")
        for number, wire in zip(numbers, others, strict=True):
            refused = wire.read()
            assert (refused.opaque, refused.code) == (number, 16)
        started = time.monotonic()
        expect(send(admin, "orders", b"x"))
        assert time.monotonic() - started < 0.25
        if kind != "right":
            assert f"{key}=some_plugins:{plugin}" in server.log()
            assert "gave no valid answer" in server.log()
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 8, "threads that hang do not hold up the end"


def test_an_authentication_provider_authenticates_users_but_no_super_user(
    tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    settings = {
        "authenticationProvider": "some_plugins:Provider",
        "authorizationProvider": "allower",
        "plugin__kind": "right",
    }
    with serving(tmp_path, monkeypatch, plugins, **settings) as server:
        create_topic(connect(server, User(SUPER, "any secret")), "orders")
        stranger = connect(server, User("nobody of ours", "x"))
        expect(send(stranger, "orders", b"x"))
        # Only Super users of mqguard are Super, and this code is for them alone.
        assert stranger.call(3001, {"username": "x"}, b'{"username":"x","password":"x","userType":"Super"}').code != 0
        assert connect(server, None).call(SEND, send_fields("orders"), b"x").code == 16


def test_an_audit_sink_gets_every_record(
    tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    out = tmp_path / "sink.jsonl"
    with serving(tmp_path, monkeypatch, plugins, auditSinks="file", plugin__sink=str(out)) as server:
        _, alice = wires(server, connect)
        assert send(alice, "orders", b"x").code == 16
        assert server.stop() == 0
    lines = out.read_text().splitlines()
    ours = (server.data / "audit" / "audit.jsonl").read_text().splitlines()
    assert lines[-1] == "closed"
    assert lines[:-1] == ours
    assert "rejects records" in server.log()


def test_a_store_plugin_keeps_users_and_a_failing_one_changes_nothing(
    tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    kept = "some_plugins:Store"
    settings = {"authenticationMetadataProvider": kept, "authorizationMetadataProvider": kept}
    with serving(tmp_path, monkeypatch, plugins, **settings) as server:
        admin, alice = wires(server, connect)
        grant(admin, "alice", entry("Topic:orders", "Pub"))
        expect(send(alice, "orders", b"x"))
        assert admin.call(CREATE_USER, {"username": "bad"}, b'{"username":"bad","password":"x"}').code == 1
        create_user(admin, "bob", "x")
        started = time.monotonic()
        assert admin.call(CREATE_USER, {"username": "slow"}, b'{"username":"slow","password":"x"}').code == 1
        assert time.monotonic() - started < LIMIT_MS / 1000 + 1
        expect(send(alice, "orders", b"requests are decided by what is in memory"))
        late = admin.call(CREATE_USER, {"username": "carol"}, b'{"username":"carol","password":"x"}')
        assert "changes need a restart" in (late.remark or "")
        log = server.data / "audit" / "audit.jsonl"
        assert eventually(lambda: "User:carol" in log.read_text())
        server.kill()
        server.start()
        assert server.stop() == 0
    lines = [json.loads(line) for line in (server.data / "audit" / "audit.jsonl").read_text().splitlines()]
    told: dict[str, list[str]] = {}
    for line in lines:
        if line["event"] == "change" and line["operation"] == "create-user":
            told.setdefault(line["subject"], []).append(line["outcome"].partition(":")[0])
    assert told == {
        "User:alice": ["done"],
        "User:bad": ["the plugin that stores users and policies failed"],
        "User:bob": ["done"],
        "User:slow": ["the plugin that stores users and policies does not answer", "unknown"],
        "User:carol": ["the plugin that stores users and policies did not answer in time"],
    }


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("authorizationProvider=nothing", "no plugin `nothing` is registered in the entry point group `mqguard.authorization_providers` (installed are `allower`)"),
        ("authorizationHandlers=nothing", "(none is installed)"),
        ("authorizationProvider=no_such_module:Name", "the module `no_such_module` of the plugin `no_such_module:Name` cannot be imported"),
        ("authorizationProvider=some_plugins:Provder", "did you mean `some_plugins:Provider`?"),
        ("authorizationProvider=some_plugins:broken", "could not be created: ValueError: write the colour"),
        ("authorizationProvider=some_plugins:word", "is not callable"),
        ("authorizationProvider=some_plugins:Asynchronous", "`async`: make it a plain method"),
        ("authorizationProvider=some_plugins:Empty", "has no method `decide`"),
        ("authorizationProvider=some_plugins:Odd", "must take 1 argument"),
        ("authorizationProvider=org.example.Mine", "this class is unknown"),
        ("authenticationStrategy=some_plugins:Empty", "has no method `accepts`"),
        ("authenticationMetadataProvider=some_plugins:Empty", "must be in the same store"),
        ("auditSinks=some_plugins:Empty", "has no method `write`"),
        ("authorizationHandlers=a,a", "write each plugin once"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_be_used_stops_the_start(tmp_path: Path, plugins: Path, setting: str, told: str) -> None:
    ended = run(
        "standalone", "--data", "data", "--port", "0", "--namesrv-port", "0", "--grpc-port", "0", "--set", setting,
        directory=tmp_path, PYTHONPATH=str(plugins),
    )  # fmt: skip
    assert ended.code == 2, ended.err
    assert told in ended.err
    assert setting.partition("=")[0] in ended.err
    assert "Traceback" not in ended.err
