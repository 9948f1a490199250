"""The keywords of a report, which scripts read: the manual has each of them, and each occurs."""

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
        (f"{{{KEYS}, topicPerms: [a=PUB], defaultTopicPerm: SUB}}", "apache-reading"),
        ("{accessKey: account1, secretKey: hush}", "short-key"),
        (f"{{{KEYS}}}, {{{KEYS}}}", "repeated-account"),
    ],
)
def test_each_kind_of_note_has_its_keyword(accounts, word, tmp_path, capsys):
    """Each kind of note has one keyword."""
    path = tmp_path / "plain_acl.yml"
    path.write_text(f"accounts: [{accounts}]\n")

    _, found = run_json(capsys, "migrate", path)
    assert [note["kind"] for note in found["notes"]] == [word]


def test_an_existing_user_has_its_keyword(tmp_path, capsys):
    """An existing user has its own keyword."""
    path = tmp_path / "plain_acl.yml"
    path.write_text(f"accounts: [{{{KEYS}}}]\n")
    store = RocksMetadataStore(tmp_path / "access", load_sealing_key(tmp_path / "sealing.key", None))
    MetadataManager(store).create_user("account1", "12345678")
    store.close()

    _, found = run_json(capsys, "migrate", path, "--store", tmp_path)
    assert [note["kind"] for note in found["notes"]] == ["existing-user"]


def test_the_manual_has_each_keyword():
    """The table of the manual has exactly these keywords."""
    told = MANUAL.read_text("utf-8").partition("## Notes")[2].partition("\n\nAfter")[0]

    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", told, re.MULTILINE)) == sorted(topic.value for topic in NoteKind)
