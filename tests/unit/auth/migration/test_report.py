"""The words of a report, which scripts read: each is what the manual says, and each comes up."""

import re
from pathlib import Path

import pytest

from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.migrating import migrate
from mqguard.auth.migration.report import Topic
from mqguard.store.access_memory import MemoryMetadataStore

MANUAL = Path(__file__).resolve().parents[4] / "docs" / "migration.md"
KEYS = "accessKey: account1, secretKey: 12345678"


def words_of(text, existing=()):
    manager = MetadataManager(MemoryMetadataStore())
    for name in existing:
        manager.create_user(name, "12345678")
    return [note.topic.value for note in migrate([("plain_acl.yml", text)], manager).notes]


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
def test_each_thing_to_note_has_its_word(accounts, word):
    """One thing, one word."""
    assert words_of(f"accounts: [{accounts}]") == [word]


def test_users_that_exist_have_their_word():
    """As above."""
    assert words_of(f"accounts: [{{{KEYS}}}]", ["account1"]) == ["existing-user"]


def test_the_manual_has_each_word():
    """The table of the manual names all of them, and no others."""
    told = MANUAL.read_text("utf-8").partition("## What is noted")[2].partition("\n\nAfter")[0]

    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", told, re.MULTILINE)) == sorted(topic.value for topic in Topic)
