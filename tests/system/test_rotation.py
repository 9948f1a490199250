"""`mqguard user rotate` at a running server."""

from __future__ import annotations

from tests.fixtures.command import Run, run_as
from tests.fixtures.server import SUPER, Server
from tests.fixtures.waiting import eventually


def test_a_rotation_from_its_begin_to_its_end(admin: Run, server: Server) -> None:
    """Both secrets work, also after a crash, until the old one expires; a policy file keeps both."""
    assert admin("user", "create", "turner", "-p", "old-secret").code == 0

    done = admin("user", "rotate", "turner", "--json")
    assert done.code == 0, done.err
    new = done.lines[0]["password"]
    assert new not in {"", "old-secret"}
    [shown] = admin("user", "get", "turner", "--json").lines
    assert (shown["liveSecrets"], shown["oldSecretUntil"] is None) == (2, False)
    assert set(shown) == {*("user", "type", "status", "liveSecrets", "oldSecretUntil", "incarnation", "confirmed")}
    server.kill()
    server.start()
    for secret in ("old-secret", new):
        assert _is_known(run_as(server, "turner", secret))

    exported = admin("export").out
    assert "old-secret" not in exported
    assert new not in exported
    assert admin("user", "update", "turner", "--status", "enable").code == 0
    assert _is_known(run_as(server, "turner", "old-secret"))

    # A rotation with the same secret can only shorten the time.
    assert admin("user", "rotate", "turner", "-p", new, "--keep", "1s").code == 0
    assert eventually(lambda: not _is_known(run_as(server, "turner", "old-secret")))
    assert _is_known(run_as(server, "turner", new))

    assert admin("user", "rotate", "turner", "-p", "third-secret", "--keep", "0").code == 0
    assert not _is_known(run_as(server, "turner", new))
    assert _is_known(run_as(server, "turner", "third-secret"))
    [shown] = admin("user", "list", "turner", "--json").lines
    assert (shown["liveSecrets"], shown["oldSecretUntil"]) == (1, None)


def _is_known(user: Run) -> bool:
    """True if the server authenticates the user, which has no permission."""
    ended = user("topic", "create", "turner-topic")
    assert ended.code == 1
    return "has no permission" in ended.err


def test_mistakes_change_nothing(admin: Run) -> None:
    """A missing user and an invalid duration are errors."""
    nobody = admin("user", "rotate", "nobody")
    assert (nobody.code, nobody.out) == (4, "")
    assert admin("user", "rotate", SUPER, "--keep", "soon").code == 2
