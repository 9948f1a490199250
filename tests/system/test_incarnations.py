"""A policy file grants nothing to a newer user of the same name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.command import Run, run_as
from tests.fixtures.server import Server
from tests.fixtures.wire import User, Wire

POLICY = """\
version: 1
users:
  treasurer: {}
policies:
  User:treasurer:
    custom:
      - {resource: Topic:payments, actions: Pub, decision: Allow}
"""
MAKES = POLICY.replace("treasurer: {}", "treasurer: {secret: {env: TREASURER}}")
MINE = "mine-now-12345"


@pytest.fixture
def admin(server: Server, tmp_path: Path) -> Iterator[Run]:
    """Return commands of a Super user, after a file has created `treasurer` with its permissions."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "makes.yaml").write_text(MAKES)
    admin = run_as(server, directory=tmp_path, TREASURER="the-secret-of-treasurer")
    admin("user", "delete", "treasurer")
    made = admin("apply", "-f", "makes.yaml")
    assert made.code == 0, made.err
    return admin


@pytest.fixture
def helpdesk(server: Server, admin: Run) -> Iterator[Wire]:
    """Return a connection of a user who may administer and has no other permission."""
    admin("user", "create", "helpdesk", "--secret", "env:TREASURER")
    assert admin("acl", "create", "User:helpdesk", "-r", "Cluster:DefaultCluster", "-a", "Update").code == 0
    wire = Wire(server.broker_port, User("helpdesk", "the-secret-of-treasurer"))
    yield wire
    wire.close()


def make(wire: Wire) -> int:
    body = json.dumps({"username": "treasurer", "password": MINE, "userType": "Normal"}).encode()
    return wire.call(3001, {"username": "treasurer"}, body).code


def test_an_administrator_does_not_get_permissions_by_a_file(helpdesk: Wire, admin: Run) -> None:
    """It removes the permissions, sets the secret or creates the user again, and waits for the next `apply`."""
    assert helpdesk.call(3003, {"username": "treasurer"}).code == 16
    assert helpdesk.call(3008, {"subject": "User:treasurer"}).code == 0
    set_secret = json.dumps({"password": MINE}).encode()
    assert helpdesk.call(3002, {"username": "treasurer"}, set_secret).code == 0
    assert is_refused(admin)
    assert helpdesk.call(3003, {"username": "treasurer"}).code == 0
    assert make(helpdesk) == 0
    assert is_refused(admin)


def test_a_super_user_creates_another_user_of_the_name(admin: Run) -> None:
    """The newer user is not the one of the file until an administrator confirms it."""
    assert admin("user", "delete", "treasurer").code == 0
    assert admin("user", "create", "treasurer").code == 0
    assert is_refused(admin)
    shown = admin("user", "get", "treasurer", "--json").lines[0]
    assert not shown["confirmed"]
    assert re.fullmatch("[0-9a-f]{16}", shown["incarnation"]), "random, so that it is unique after a restart, too"
    wrong = admin("apply", "-f", "policy.yaml", "--confirm", "treasurer=another")
    assert wrong.code == 2
    confirmed = f"treasurer={shown['incarnation']}"
    assert admin("apply", "-f", "policy.yaml", "--confirm", confirmed).code == 0
    assert admin("user", "get", "treasurer", "--json").lines[0]["confirmed"]
    # After that it is the user of the file.
    assert admin("acl", "delete", "User:treasurer").code == 0
    assert admin("apply", "-f", "policy.yaml").code == 0


def test_a_file_may_name_the_incarnation_of_a_user(admin: Run, tmp_path: Path) -> None:
    """An export with incarnations grants permissions to the users that existed, however they were created."""
    admin("user", "delete", "treasurer")
    assert admin("user", "create", "treasurer").code == 0
    shown = admin("user", "get", "treasurer", "--json").lines[0]["incarnation"]
    assert f"incarnation: {shown}" in admin("export", "--incarnations").out
    (tmp_path / "policy.yaml").write_text(POLICY.replace("{}", f"{{incarnation: [other, {shown}]}}"))
    assert admin("apply", "-f", "policy.yaml").code == 0


def test_a_file_that_sets_the_secret_identifies_the_user(helpdesk: Wire, admin: Run) -> None:
    """The newer user loses its secret, so only the owner of the file's secret has the permissions."""
    assert admin("user", "delete", "treasurer").code == 0
    assert make(helpdesk) == 0
    assert admin("apply", "-f", "makes.yaml").code == 0
    assert admin("send", "payments", "x", MQGUARD_ACCESS_KEY="treasurer", MQGUARD_SECRET_KEY=MINE).code == 1


def is_refused(admin: Run) -> bool:
    """True if `apply` refuses and names the user, `plan` reports it before, and nothing has changed."""
    planned = admin("plan", "-f", "policy.yaml", "--json").lines[0]
    (unconfirmed,) = planned["unconfirmed"]
    assert unconfirmed["user"] == "treasurer"
    refused = admin("apply", "-f", "policy.yaml")
    assert refused.code == 2
    assert (
        "nothing was changed: the file grants permissions to `treasurer`, but the name may belong to another user"
        in refused.err
    )
    assert f"--confirm treasurer={unconfirmed['incarnation']}" in refused.err
    return "Topic:payments" not in admin("acl", "list").out
