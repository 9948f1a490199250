"""Credentials of commands: files that follow a changed secret, contexts, and client certificates."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.fixtures.command import Run, run, run_as
from tests.fixtures.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server whose first start creates an administrator, with the secret in its data directory."""
    with Server(tmp_path_factory.mktemp("server"), settings={"initAuthenticationUser": ""}) as started:
        yield started


@pytest.fixture
def admin(server: Server, tmp_path: Path) -> Run:
    """Return the commands of the administrator, who uses the file in the data directory."""
    return functools.partial(
        run,
        directory=tmp_path,
        MQGUARD_NAMESRV=server.namesrv,
        MQGUARD_DATA=str(server.data),
        XDG_CONFIG_HOME=str(tmp_path / "config"),
    )


@pytest.mark.parametrize(
    "words",
    [
        ("user", "rotate", "admin", "--keep", "0"),
        ("user", "update", "admin", "--secret", "another-secret-of-admin"),
        ("apply", "-f", "policy.yaml", "--set-secrets"),
    ],
)
def test_an_administrator_cannot_lock_themselves_out(
    admin: Run, server: Server, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A command that changes the secret of its own user writes it into the file that it has read."""
    text = "version: 1\nusers:\n  admin: {type: Super, secret: {file: new.secret}}\n"
    (tmp_path / "policy.yaml").write_text(text)
    (tmp_path / "new.secret").write_text("0123456789-secret\n")
    file = server.data / "tools.yml"
    before = file.read_text()
    changed = admin(*words)
    assert changed.code == 0, changed.err
    assert file.read_text() != before
    assert file.stat().st_mode & 0o777 == 0o600
    assert admin("user", "list").code == 0


def test_a_secret_in_a_file_of_its_own_follows_too(admin: Run, server: Server, tmp_path: Path) -> None:
    assert admin("user", "create", "ops", "--type", "Super", "--secret", "first-secret-of-ops").code == 0
    (tmp_path / "ops.secret").write_text("first-secret-of-ops\n")
    ops = functools.partial(admin, MQGUARD_ACCESS_KEY="ops", MQGUARD_SECRET_KEY=f"file:{tmp_path / 'ops.secret'}")
    assert ops("user", "rotate", "ops", "--keep", "0").code == 0
    assert ops("user", "list").code == 0

    literal = run_as(server, "ops", (tmp_path / "ops.secret").read_text().strip())
    told = literal("user", "rotate", "ops", "--keep", "1h")
    assert told.code == 0
    assert "`ops` is your own user: change the secret that `--secret-key` or `MQGUARD_SECRET_KEY` gives" in told.err


def test_without_credentials_the_error_says_where_they_were_looked_for(server: Server, tmp_path: Path) -> None:
    lost = run(
        "user", "list", directory=tmp_path, MQGUARD_NAMESRV=server.namesrv, XDG_CONFIG_HOME=str(tmp_path / "config")
    )
    assert lost.code == 1
    place = tmp_path / "config" / "mqguard" / "tools.yml"
    assert f"no credentials were found: looked for `mqguard-data/tools.yml`, `{place}`" in lost.err
    assert lost.err.startswith(
        "mqguard: no permission: the request was not signed, because no credentials were found: "
    )
    assert "username" not in lost.err

    place.parent.mkdir(parents=True)
    place.write_bytes((server.data / "tools.yml").read_bytes())
    found = run(
        "user", "list", directory=tmp_path, MQGUARD_NAMESRV=server.namesrv, XDG_CONFIG_HOME=str(tmp_path / "config")
    )
    assert found.code == 0

    (tmp_path / "mqguard-data").mkdir()
    (tmp_path / "mqguard-data" / "tools.yml").write_text("accessKey: admin\n")
    broken = run("user", "list", directory=tmp_path, MQGUARD_NAMESRV=server.namesrv)
    assert broken.code == 2
    assert "the file `mqguard-data/tools.yml` has no credentials" in broken.err


def test_contexts_keep_options_for_several_clusters(server: Server, tmp_path: Path) -> None:
    user = functools.partial(run, directory=tmp_path, XDG_CONFIG_HOME=str(tmp_path / "config"))
    made = user("context", "set", "here", "-n", server.namesrv, "--data", str(server.data))
    assert (made.code, made.err) == (0, "")
    assert user("user", "list").code == 0
    assert user("context", "set", "gone", "-n", "127.0.0.1:1", "--tls").code == 0
    assert user("user", "list", "--context", "gone").code == 3
    assert user("context", "use", "gone").code == 0
    assert user("user", "list").code == 3
    assert user("user", "list", "--context", "here").code == 0
    assert [line["context"] for line in user("context", "list", "--json").lines] == ["gone", "here"]
    # The credentials of a context are not used for another name server.
    assert "was not signed" in user("user", "list", "-n", server.namesrv).err
    unknown = user("user", "list", "--context", "where")
    assert (unknown.code, unknown.err) == (4, "mqguard: there is no context `where`; contexts: `gone`, `here`\n")
    secret = user("context", "set", "here", "--access-key", "a", "--secret-key", "a-secret")
    assert secret.code == 2
    assert "a context keeps no secret" in secret.err
    assert "a-secret" not in (tmp_path / "config" / "mqguard" / "contexts.yaml").read_text()
    (tmp_path / "config" / "mqguard" / "contexts.yaml").write_text("contexts: {here: {timeout: never}}\n")
    invalid = user("user", "list", "--context", "here")
    assert invalid.code == 2
    assert "the context `here`: `timeout`" in invalid.err
    assert user("context", "delete", "here").code == 0


def test_a_certificate_is_shown_to_a_server_that_wants_one(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    client = ca.issue_cert("client.example")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    settings = {
        "tls.server.mode": "enforcing",
        "tls.server.certPath": str(tmp_path / "server.pem"),
        "tls.server.keyPath": str(tmp_path / "server.pem"),
        "tls.server.need.client.auth": "require",
        "tls.server.trustCertPath": str(tmp_path / "ca.pem"),
    }
    trust = ("--tls-ca", str(tmp_path / "ca.pem"))
    with Server(tmp_path / "server", settings=settings) as own:
        user = run_as(own, directory=tmp_path)
        assert user("topic", "list", *trust).code == 3
        assert user("topic", "list", *trust, "--tls-cert", "client.pem", "--tls-key", "client.key").code == 0
        assert user("topic", "list", *trust, "--tls-cert", "both.pem").code == 0
        alone = user("topic", "list", *trust, "--tls-key", "client.key")
        assert alone.code == 2
        assert "give `--tls-cert` too" in alone.err
        missing = user("topic", "list", *trust, "--tls-cert", "none.pem")
        assert missing.code == 2
