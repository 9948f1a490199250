"""Commands send nothing to a broker that has only registered at the name server."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.command import MQGUARD, Run, run_as
from tests.fixtures.server import SUPER, SUPER_SECRET, Server, environment
from tests.fixtures.wire import User, Wire


class Rogue:
    """A listener that notes every byte sent to it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.heard = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                while data := peer.recv(65536):
                    self.heard += data

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def rogue(server: Server) -> Iterator[Rogue]:
    """Register a foreign broker in the cluster, with a topic that the real broker has, too."""
    found = Rogue()
    wire = Wire(server.namesrv_port, User(SUPER, SUPER_SECRET))
    topics = {"shared": {"topicName": "shared", "readQueueNums": 4, "writeQueueNums": 4, "perm": 6}}
    version = {"counter": 1, "stateVersion": 0, "timestamp": 1}
    body = {"topicConfigSerializeWrapper": {"topicConfigTable": topics, "dataVersion": version}, "filterServerList": []}
    ext = {
        "brokerName": "rogue",
        "brokerAddr": found.address,
        "clusterName": "DefaultCluster",
        "haServerAddr": "127.0.0.1:1",
        "brokerId": "0",
    }
    assert wire.call(103, ext, json.dumps(body).encode()).code == 0
    yield found
    wire.close()
    found.close()


@pytest.fixture
def admin(server: Server, tmp_path: Path) -> Run:
    return run_as(server, directory=tmp_path, MQGUARD_KNOWN_BROKERS=str(tmp_path / "known_brokers"))


def test_no_command_sends_anything_to_an_unknown_broker(
    server: Server, rogue: Rogue, admin: Run, tmp_path: Path
) -> None:
    """Each command refuses before it changes anything, names the broker and explains how to pin it."""
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    for words in (
        ["user", "create", "cashier"],
        ["user", "rotate", SUPER, "--keep", "0"],
        ["user", "list"],
        ["acl", "create", f"User:{SUPER}", "-r", "Topic:a", "-a", "Pub"],
        ["apply", "-f", "policy.yaml"],
        ["export"],
        ["topic", "create", "t"],
        ["send", "shared", "hello"],
        ["demo"],
    ):
        refused = admin(*words)
        assert refused.code == 1, words
        assert (
            f"the broker `rogue` at `{rogue.address}` is registered at the name server but is unknown here"
            in refused.err
        )
        assert "pin it with `mqguard brokers pin ADDRESS`" in refused.err
    assert not rogue.heard
    # The operator can continue with the brokers that the command names.
    named = admin("user", "list", MQGUARD_BROKERS=server.broker)
    assert (named.code, "cashier" in named.out) == (0, False)
    assert not rogue.heard


def test_a_pinned_broker_is_used_until_it_is_unpinned(rogue: Rogue, admin: Run) -> None:
    """A pin is the statement of the operator that the broker belongs to the cluster."""
    assert admin("broker", "pin", rogue.address).out == f"pinned {rogue.address}\n"
    assert admin("broker", "list", "--json").lines == [{"broker": rogue.address, "fingerprint": None}]
    assert admin("topic", "create", "t", "--timeout", "0.3").code == 3
    assert rogue.heard
    assert admin("broker", "unpin", rogue.address).code == 0
    assert admin("broker", "unpin", rogue.address).code == 4
    assert admin("topic", "create", "t").code == 1


def test_a_certificate_is_part_of_a_pin(server: Server, admin: Run, tmp_path: Path) -> None:
    """A broker that shows another certificate than the one pinned, or none, is not used."""
    pinned = admin("broker", "pin", server.broker, "--tls", "--json").lines[0]
    assert len(pinned["fingerprint"]) == 64
    assert admin("user", "list", "--tls").code == 0
    assert "is pinned with its certificate: use `--tls`" in admin("user", "list").err
    (tmp_path / "known_brokers").write_text(f"{server.broker} sha256:{'0' * 64}\n")
    refused = admin("user", "list", "--tls")
    assert (refused.code, refused.err) == (
        3,
        f"mqguard: `{server.broker}` shows another certificate than the one that is pinned\n",
    )
    (tmp_path / "known_brokers").write_text("x y\n")
    assert "known_brokers:1: write `HOST:PORT` or `HOST:PORT sha256:FINGERPRINT`" in admin("user", "list").err


class Terminal:
    """A command that runs at a terminal of its own."""

    def __init__(self, *words: str, **variables: str) -> None:
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            os.execve(MQGUARD, [MQGUARD, *words], environment(**variables))
        self.shown = ""

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type an answer."""
        self._read_until(lambda: question in self.shown)
        self.shown = ""
        os.write(self._file, text.encode() + b"\n")

    def end(self) -> int:
        """Wait for the end, and return the exit code."""
        self._read_until(lambda: False)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read_until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not done():
            assert select.select([self._file], [], [], max(0, end - time.monotonic()))[0], self.shown
            try:
                data = os.read(self._file, 4096)
            except OSError:
                return
            if not data:
                return
            self.shown += data.decode()


def test_a_terminal_is_asked_for_secrets_and_for_brokers(server: Server, rogue: Rogue, tmp_path: Path) -> None:
    """Typed secrets are not shown, and a broker that is not pinned receives nothing."""
    terminal = Terminal(
        *("user", "create", "frank"),
        MQGUARD_NAMESRV=server.namesrv,
        MQGUARD_ACCESS_KEY=SUPER,
        MQGUARD_KNOWN_BROKERS=str(tmp_path / "known_brokers"),
        HOME=str(tmp_path),
    )
    terminal.answer("the secret of frank (leave it empty for a random one): ", "typed-and-not-shown")
    terminal.answer("Repeat for confirmation: ", "typed-and-not-shown")
    terminal.answer(f"the secret of {SUPER}: ", SUPER_SECRET)
    terminal.answer(f"the broker rogue at {rogue.address} is unknown: pin it [y/N]: ", "n")
    assert terminal.end() == 1
    assert "typed-and-not-shown" not in terminal.shown
    assert not rogue.heard
