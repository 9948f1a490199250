"""Secrets are read from the source that a policy file names, and never shown."""

import io
import os
import sys

import click
import pytest

from mqguard.admin.policy_files import MAX_SECRET_BYTES, resolver, variables
from mqguard.auth.documents.document import SecretPlace, SecretReference
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.user import Secret
from mqguard.cli.secret_options import new_secret, read_secret
from mqguard.config.secret import weakness
from tests.unit.cli.policy_run import run

ONE_LINE = "must hold the secret in one line and nothing else"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"from-file\r\n", "from-file"),
        (b"from-file", "from-file"),
        (b"\xef\xbb\xbffrom-file\n", "from-file"),
        (b" with blanks \n", " with blanks "),
        ("schlüssel".encode(), "schlüssel"),
    ],
)
def test_a_file_holds_a_secret(tmp_path, content, secret):
    """The secret is one line without its end and without a byte order mark; a link to the file works as well."""
    (tmp_path / "secret").write_bytes(content)
    (tmp_path / "link").symlink_to("secret")

    for name in ("secret", "link", str(tmp_path / "secret")):
        found = resolver(tmp_path / "policy.yaml")(SecretReference(SecretPlace.FILE, name))
        assert found == Secret(secret)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hush\nhush\n", ONE_LINE),
        (b"hush\n\n", ONE_LINE),
        (b"", ONE_LINE),
        (b"\n", ONE_LINE),
        (b"  \t \n", ONE_LINE),
        (b"hu\0sh", ONE_LINE),
        ("hush\u2028".encode(), ONE_LINE),
        (b"hush\xe9", "is not UTF-8"),
        (b"hush" * MAX_SECRET_BYTES, "is longer than 64 KiB, the maximum for a secret"),
    ],
)
def test_a_file_without_a_secret_is_an_error(tmp_path, content, message):
    """A blank file, several lines and bytes that are not text are errors that do not show the content."""
    (tmp_path / "secret").write_bytes(content)

    with pytest.raises(PolicyInvalid, match=message) as caught:
        resolver(tmp_path / "policy.yaml")(SecretReference(SecretPlace.FILE, "secret"))
    assert "hush" not in str(caught.value)


def test_a_path_that_is_not_a_file_is_an_error(tmp_path):
    """Examples are a missing file, a directory, a pipe without a writer, an endless device and an invalid path."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    resolve = resolver(tmp_path / "policy.yaml")

    for name, message in (
        ("none", "cannot be read: No such file or directory"),
        ("directory", "cannot be read: Is a directory"),
        ("pipe", "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        ("a\0b", "is not a valid path"),
    ):
        with pytest.raises(PolicyInvalid, match=message):
            resolve(SecretReference(SecretPlace.FILE, name))


def test_the_environment_holds_a_secret(tmp_path, monkeypatch):
    """The secret is one line; a missing or blank variable, or one that is not text, is an error."""
    resolve = resolver(tmp_path / "policy.yaml")
    monkeypatch.setenv("GOOD", "from-env")
    monkeypatch.delenv("MISSING", raising=False)

    assert resolve(SecretReference(SecretPlace.ENV, "GOOD")) == Secret("from-env")
    with pytest.raises(PolicyInvalid, match="the environment variable `MISSING` is not set"):
        resolve(SecretReference(SecretPlace.ENV, "MISSING"))
    for bad in ("", "  ", "hush\n", "hush\nhush", os.fsdecode(b"hush\xe9")):
        monkeypatch.setenv("BAD", bad)
        with pytest.raises(PolicyInvalid, match=f"the environment variable `BAD` {ONE_LINE}") as caught:
            resolve(SecretReference(SecretPlace.ENV, "BAD"))
        assert "hush" not in str(caught.value)


def test_no_two_users_share_a_variable():
    """Names with the same letters get different digests, which are the same in every run."""
    names = ["shop", "order-a", "order_a", "Order.A", "ü", "ö", "*"]
    variable = variables(names)
    found = {name: variable(name).name for name in names}

    assert len(set(found.values())) == len(names)
    assert found["shop"] == "MQGUARD_SECRET_SHOP"
    assert found["order-a"].startswith("MQGUARD_SECRET_ORDER_A_")
    assert variables(["shop", "order-a"])("order-a").name == "MQGUARD_SECRET_ORDER_A"
    assert variables(names[::-1])("order-a").name == found["order-a"]
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in found.values())


def test_no_name_can_be_chosen_to_get_the_variable_of_another():
    """An administrator who creates users knows how the names of variables are made."""
    names = ["order-a", "order_a"]
    made = variables(names)("order-a").name.removeprefix("MQGUARD_SECRET_")
    variable = variables([*names, made, made.lower()])

    assert len({variable(name).name for name in (*names, made, made.lower())}) == 4
    assert variable("order-a").name == f"MQGUARD_SECRET_{made}"
    assert variables([made])(made).name.startswith(f"MQGUARD_SECRET_{made}_")


def test_an_export_gives_each_user_its_variable(tmp_path, capsys):
    """Two users with similar names do not get each other's secret."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nusers: {a-b: {}, a_b: {}, c: {}}\n")
    code, out, _ = run(capsys, "export", "-f", path, "--secrets", "env")

    told = [line.split(": ")[1] for line in out.splitlines() if "env:" in line]
    assert code == 0
    assert len(set(told)) == 3
    assert told[2] == "MQGUARD_SECRET_C"


class Input(io.TextIOWrapper):
    """Standard input that is not a terminal."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))


def test_an_option_refers_to_a_secret_as_the_configuration_does(monkeypatch, tmp_path):
    """The variable, the file and the first line of standard input hold the secret, never the reference itself."""
    (tmp_path / "secret").write_text("from-file\n")
    monkeypatch.setenv("HELD", "from-env")
    monkeypatch.setattr(sys, "stdin", Input(b"from-input\nthe rest"))
    found = [
        read_secret(text, "secret", "x").reveal() for text in ("env:HELD", f"file:{tmp_path}/secret", "-", "plain")
    ]
    assert found == ["from-env", "from-file", "from-input", "plain"]
    assert sys.stdin.buffer.read() == b"the rest"


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("env:NOT_SET_HERE", b"", "`--secret-key`: the environment variable `NOT_SET_HERE` is not set"),
        ("file:/not/there", b"", "`--secret-key`: the file `/not/there` cannot be read"),
        ("", b"", "`--secret-key`: a secret cannot be empty"),
        ("-", b"", "the first line of standard input must be the secret"),
        ("-", b"\n", "the first line of standard input must be the secret"),
        ("-", b"\xff\n", "the first line of standard input is not UTF-8"),
        ("-", b"x" * (MAX_SECRET_BYTES + 1), "the first line of standard input must be the secret"),
    ],
)
def test_a_reference_to_nothing_is_refused(monkeypatch, text, given, message):
    """The reference itself is never taken for the secret."""
    monkeypatch.setattr(sys, "stdin", Input(given))
    with pytest.raises(click.UsageError) as caught:
        read_secret(text, "secret_key", "x")
    assert message in str(caught.value.message)


def test_without_a_terminal_a_secret_that_is_not_given_is_random(monkeypatch):
    """The caller makes the random secret."""
    monkeypatch.setattr(sys, "stdin", Input(b""))
    assert new_secret("alice", None) is None


@pytest.mark.parametrize("words", [["user", "create", "a"], ["user", "update", "a"], ["user", "rotate", "a"]])
def test_a_secret_on_the_command_line_and_a_weak_one_cause_warnings(capsys, words):
    """The warnings come before anything is sent, and do not repeat the secret."""
    _, _, err = run(capsys, *words, "--secret", "hush-hush", "--namesrv", "127.0.0.1:1")
    assert "mqguard: warning: `--secret` shows the secret to every process here and in the shell history" in err
    assert "mqguard: warning: the secret of `a` is easy to guess: it has few different characters" not in err
    assert "mqguard: warning: the secret of `a` is easy to guess: it has fewer than 12 characters" in err
    assert "hush-hush" not in err


def test_the_own_secret_on_the_command_line_causes_a_warning(capsys, monkeypatch):
    """A variable of the environment causes none, since other users of the machine do not see it."""
    asking = ("topic", "list", "--access-key", "a", "--namesrv", "127.0.0.1:1")
    assert "`--secret-key` shows the secret" in run(capsys, *asking, "--secret-key", "hush-hush")[2]
    monkeypatch.setenv("MQGUARD_SECRET_KEY", "hush-hush")
    assert "warning" not in run(capsys, *asking)[2]


@pytest.mark.parametrize(
    ("name", "secret", "why"),
    [
        ("alice", "12345678", "tried first"),
        ("alice", "RocketMQ", "tried first"),
        ("alice", "alice", "the user's name"),
        ("alice", "Alice-2024", "the user's name"),
        ("alice", "aaaabbbbccccaaaa", "few different"),
        ("alice", "k3!x9Qz", "fewer than 12"),
        ("alice", "k3!x9Qz-77pW", None),
        ("", "k3!x9Qz-77pW", None),
    ],
)
def test_obviously_weak_secrets_are_found(name, secret, why):
    """The check finds obvious cases only, and does not measure randomness."""
    found = weakness(name, Secret(secret))
    assert found is None if why is None else why in found
