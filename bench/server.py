"""mqguard on this machine, as its users start it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "rocketmq", "12345678"
COMMAND = Path(sys.executable).with_name("mqguard")


def configuration(*, acl: bool, extra: str = "") -> str:
    """A broker.conf as Apache's, on free ports."""
    on = str(acl).lower()
    return f"""listenPort = 0
namesrvListenPort = 0
brokerIP1 = 127.0.0.1
authenticationEnabled = {on}
authorizationEnabled = {on}
initAuthenticationUser = {{"username":"{ACCESS_KEY}","password":"{SECRET_KEY}"}}
{extra}"""


def port_of(address: str) -> int:
    """The port of `host:port`."""
    return int(address.rpartition(":")[2])


@contextlib.contextmanager
def standalone(*, acl: bool = True, extra: str = "") -> Iterator[tuple[int, int, int]]:
    """`mqguard standalone` on a fresh directory; yields broker port, name server port and process id."""
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory:
        conf = Path(directory) / "broker.conf"
        conf.write_text(configuration(acl=acl, extra=extra))
        command = [str(COMMAND), "standalone", "--config", str(conf), "--data", f"{directory}/data", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                ready: dict[str, str] = {}
                while ready.get("event") != "ready":
                    ready = json.loads(process.stdout.readline())
                yield port_of(ready["broker"]), port_of(ready["namesrv"]), process.pid
            finally:
                process.terminate()
                process.wait(20)
