"""`mqguard user rotate` at a running server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.waiting import eventually
from tests.system.command import Ended, run

pytestmark = pytest.mark.system

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def act_as(server: Server, tmp_path: Path) -> Callable[[str, str], Run]:
    return lambda user, secret: functools.partial(
        run,
        directory=tmp_path,
        MQGUARD_NAMESRV=server.namesrv,
        MQGUARD_ACCESS_KEY=user,
        MQGUARD_SECRET_KEY=secret,
    )


def test_a_rotation_from_begin_to_end(act_as: Callable[[str, str], Run], server: Server) -> None:
    """Both secrets work, also after a crash; the old one is refused when its time is up, and a policy file keeps both."""
    admin = act_as(SUPER, SUPER_SECRET)
    assert admin("user", "create", "turner", "-p", "old-secret").code == 0

    done = admin("user", "rotate", "turner", "--json")
    assert done.code == 0, done.err
    new = done.lines[0]["password"]
    assert new not in {"", "old-secret"}
    [shown] = admin("user", "get", "turner", "--json").lines
    assert (shown["liveSecrets"], shown["oldSecretUntil"] is None) == (2, False)
    assert set(shown) == {
        *("username", "userType", "userStatus", "liveSecrets", "oldSecretUntil", "incarnation", "confirmed")
    }
    server.kill()
    server.start()
    for secret in ("old-secret", new):
        assert _is_known(act_as("turner", secret))

    exported = admin("export").out
    assert "old-secret" not in exported
    assert new not in exported
    assert admin("user", "update", "turner", "--status", "enable").code == 0
    assert _is_known(act_as("turner", "old-secret"))

    # The time that is left can only be made shorter, with the same secret.
    assert admin("user", "rotate", "turner", "-p", new, "--keep", "1s").code == 0
    assert eventually(lambda: not _is_known(act_as("turner", "old-secret")))
    assert _is_known(act_as("turner", new))

    assert admin("user", "rotate", "turner", "-p", "third-secret", "--keep", "0").code == 0
    assert not _is_known(act_as("turner", new))
    assert _is_known(act_as("turner", "third-secret"))
    [shown] = admin("user", "list", "turner", "--json").lines
    assert (shown["liveSecrets"], shown["oldSecretUntil"]) == (1, None)


def _is_known(user: Run) -> bool:
    """Whether the server takes the user for who it says it is, though it may do nothing."""
    ended = user("topic", "create", "turner-topic")
    assert ended.code == 1
    return "has no permission" in ended.err


def test_mistakes_change_nothing(act_as: Callable[[str, str], Run]) -> None:
    """Nobody of that name, and what is no time."""
    admin = act_as(SUPER, SUPER_SECRET)
    nobody = admin("user", "rotate", "nobody")
    assert (nobody.code, nobody.out) == (4, "")
    assert admin("user", "rotate", SUPER, "--keep", "soon").code == 2
