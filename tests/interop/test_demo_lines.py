"""The mqadmin commands that `mqguard demo` prints do the same as the demo."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.fixtures.command import run_as
from tests.fixtures.wire import User
from tests.interop.conftest import DrivenClient

pytestmark = pytest.mark.xdist_group("java-5.5.0")


def steps_of(client: DrivenClient) -> list[dict[str, object]]:
    """Run the demo at the server of a client, and return its steps; the demo cleans up at its end."""
    ended = run_as(client.server)("demo", "--json")
    assert ended.code == 0, ended.err
    return ended.lines


def test_each_printed_command_does_its_step(java5: DrivenClient) -> None:
    users: dict[str, User] = {}
    for step in steps_of(java5):
        what, outcome = str(step["description"]), str(step["outcome"])
        for line in step.get("mqadmin", []):
            words = shlex.split(line)
            if words[0] == "createUser":
                name, secret = words[words.index("-u") + 1], words[words.index("-p") + 1]
                users[name] = User(name, secret)
            actor = users.get(what.split(maxsplit=1)[0]) if outcome != "done" else None
            printed = (java5.as_(actor) if actor else java5).mqadmin(*words)
            told = printed.out + printed.err
            if outcome == "denied":
                assert "no permission" in told, (line, re.findall(r"(?m)^(?:Caused by|java).*", told))
            else:
                assert re.search(r"success|SEND_OK|hello, guarded world", told), (line, told)
                assert "Exception" not in told, (line, told)
    assert len(users) == 2
