"""Secrets are found where a policy file says, one line each, and never told."""

import os

import pytest

from mqguard.auth.documents.document import SecretPlace, SecretReference
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.user import Secret
from mqguard.cli.secret_places import MAX_SECRET, resolver, variables
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
    """In one line, whose end is no part of it, nor is a mark of the encoding; a link to it is as good."""
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
        (b"hush\xe9", "is no UTF-8"),
        (b"hush" * MAX_SECRET, "is longer than 64 KiB, which no secret is"),
    ],
)
def test_a_file_that_holds_none(tmp_path, content, message):
    """Blank, several lines, no text: whatever it is, it is not told."""
    (tmp_path / "secret").write_bytes(content)

    with pytest.raises(PolicyInvalid, match=message) as caught:
        resolver(tmp_path / "policy.yaml")(SecretReference(SecretPlace.FILE, "secret"))
    assert "hush" not in str(caught.value)


def test_a_place_that_is_no_file(tmp_path):
    """Missing, a directory, a pipe that nobody writes to, a device without an end, no path at all."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    resolve = resolver(tmp_path / "policy.yaml")

    for name, message in (
        ("none", "cannot be read: No such file or directory"),
        ("directory", "cannot be read: Is a directory"),
        ("pipe", "is no regular file"),
        ("/dev/zero", "is no regular file"),
        ("a\0b", "is no path of a file"),
    ):
        with pytest.raises(PolicyInvalid, match=message):
            resolve(SecretReference(SecretPlace.FILE, name))


def test_the_environment_holds_a_secret(tmp_path, monkeypatch):
    """In one line; a variable that is missing, blank or no text is no secret."""
    resolve = resolver(tmp_path / "policy.yaml")
    monkeypatch.setenv("GOOD", "from-env")
    monkeypatch.delenv("MISSING", raising=False)

    assert resolve(SecretReference(SecretPlace.ENV, "GOOD")) == Secret("from-env")
    with pytest.raises(PolicyInvalid, match="the environment has no `MISSING`"):
        resolve(SecretReference(SecretPlace.ENV, "MISSING"))
    for bad in ("", "  ", "hush\n", "hush\nhush", os.fsdecode(b"hush\xe9")):
        monkeypatch.setenv("BAD", bad)
        with pytest.raises(PolicyInvalid, match=f"`BAD` of the environment {ONE_LINE}") as caught:
            resolve(SecretReference(SecretPlace.ENV, "BAD"))
        assert "hush" not in str(caught.value)


def test_no_two_users_share_a_variable():
    """Names that come to the same letters are told apart by a digest, the same one at every run."""
    names = ["shop", "order-a", "order_a", "Order.A", "ü", "ö", "*"]
    variable = variables(names)
    found = {name: variable(name).name for name in names}

    assert len(set(found.values())) == len(names)
    assert found["shop"] == "MQGUARD_SECRET_SHOP"
    assert found["order-a"].startswith("MQGUARD_SECRET_ORDER_A_")
    assert variables(["shop", "order-a"])("order-a").name == "MQGUARD_SECRET_ORDER_A"
    assert variables(names[::-1])("order-a").name == found["order-a"]
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in found.values())


def test_no_name_can_be_made_to_come_to_the_variable_of_another():
    """Whoever may create users knows how names are told apart."""
    names = ["order-a", "order_a"]
    made = variables(names)("order-a").name.removeprefix("MQGUARD_SECRET_")
    variable = variables([*names, made, made.lower()])

    assert len({variable(name).name for name in (*names, made, made.lower())}) == 4
    assert variable("order-a").name == f"MQGUARD_SECRET_{made}"
    assert variables([made])(made).name.startswith(f"MQGUARD_SECRET_{made}_")


def test_an_export_gives_each_user_its_variable(tmp_path, capsys):
    """Two users of almost one name do not get each other's secret."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nusers: {a-b: {}, a_b: {}, c: {}}\n")
    code, out, _ = run(capsys, "export", "-f", path, "--secrets", "env")

    told = [line.split(": ")[1] for line in out.splitlines() if "env:" in line]
    assert code == 0
    assert len(set(told)) == 3
    assert told[2] == "MQGUARD_SECRET_C"
