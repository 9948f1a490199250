"""The words of a report, which scripts read: each is what the manual says, and each comes up."""

import re
from pathlib import Path

import pytest

from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.conversion import NoteKind
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import load_sealing_key
from tests.unit.cli.policy_run import run_json

MANUAL = Path(__file__).resolve().parents[4] / "docs" / "migration.md"
KEYS = "accessKey: account1, secretKey: 12345678"


@pytest.mark.parametrize(
    ("accounts", "word"),
    [
        ("{secretKey: 12345678}", "skipped-account"),
        (f"{{{KEYS}, whiteRemoteAddress: 10.0.0.1}}", "white-list"),
        (f"{{{KEYS}, topicPerms: [a=pub]}}", "unknown-permission"),
        (f"{{{KEYS}, topicPerms: [a*=PUB]}}", "skipped-item"),
        (f"{{{KEYS}, topicPerms: [a=PUB, a=PUB]}}", "replaced-item"),
        (f"{{{KEYS}, admin: true, topicPerms: [a=PUB]}}", "admin-with-permissions"),
        ("{accessKey: account1, secretKey: hush}", "short-key"),
        (f"{{{KEYS}}}, {{{KEYS}}}", "repeated-account"),
    ],
)
def test_each_thing_to_note_has_its_word(accounts, word, tmp_path, capsys):
    """One thing, one word."""
    path = tmp_path / "plain_acl.yml"
    path.write_text(f"accounts: [{accounts}]\n")

    _, found = run_json(capsys, "migrate", path)
    assert [note["topic"] for note in found["notes"]] == [word]


def test_a_user_that_exists_has_its_word(tmp_path, capsys):
    """As above."""
    path = tmp_path / "plain_acl.yml"
    path.write_text(f"accounts: [{{{KEYS}}}]\n")
    store = RocksMetadataStore(tmp_path / "access", load_sealing_key(tmp_path / "sealing.key", None))
    MetadataManager(store).create_user("account1", "12345678")
    store.close()

    _, found = run_json(capsys, "migrate", path, "--store", tmp_path)
    assert [note["topic"] for note in found["notes"]] == ["existing-user"]


def test_the_manual_has_each_word():
    """The table of the manual names all of them, and no others."""
    told = MANUAL.read_text("utf-8").partition("## What is noted")[2].partition("\n\nAfter")[0]

    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", told, re.MULTILINE)) == sorted(topic.value for topic in NoteKind)
