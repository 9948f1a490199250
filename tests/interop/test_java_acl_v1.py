"""The rules of ACL 1.0 in the migration are those of Apache's own classes, of a version before 5.1.1 and one after."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from mqguard.auth.migration.acl_v1 import AclV1Permissions, AclV1Version, parse_acl_v1
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.model.names import retry_topic
from tests.interop.toolchain import java_acl_v1
from tests.unit.auth.migration.white_list_vectors import ADDRESSES, VECTORS

VERSIONS = ("4.9.8", "5.3.2")
ACCOUNTS = 300
SEED = random.SystemRandom().getrandbits(32)
PERMISSIONS = ("PUB", "SUB", "PUB|SUB", "SUB|PUB", "DENY", "ANY", "ALL", "pub", " SUB ")
NAMES = ("a", "b", "%RETRY%a", "%DLQ%a")


@pytest.mark.parametrize("version", VERSIONS)
def test_white_lists_match_the_recorded_addresses(version: str, tmp_path: Path) -> None:
    """Each notation is refused, or matches the same addresses, as in the recorded table."""
    questions = ["\t".join(("white", text, *ADDRESSES)) for text in VECTORS]

    assert dict(zip(VECTORS, ask(version, tmp_path, questions), strict=True)) == VECTORS


@pytest.mark.parametrize("version", VERSIONS)
def test_accounts_may_do_the_same(version: str, tmp_path: Path) -> None:
    """Random accounts, admins or not, with lists and defaults, are asked for each topic and group."""
    chosen = random.Random(SEED)
    text = "accounts:\n" + "".join(account(chosen, number) for number in range(ACCOUNTS))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plain_acl.yml").write_text(text)
    asked = [
        (one, kind, name, action)
        for one in parse_acl_v1("plain_acl.yml", text).accounts
        for kind, name in ((ResourceType.TOPIC, "a"), (ResourceType.TOPIC, "%DLQ%a"), (ResourceType.GROUP, "a"))
        for action in (Action.PUB, Action.SUB)
    ]
    answers = ask(
        version, tmp_path, [question(one.access_key, kind, name, action) for one, kind, name, action in asked]
    )

    known = AclV1Version.parse(version)
    for (one, kind, name, action), answer in zip(asked, answers, strict=True):
        found = AclV1Permissions.of(one, known).allows(kind, name, action)
        assert ("y" if found else "n") == answer, (SEED, one, kind, name, action)
    assert set(answers) == {"y", "n"}


def account(chosen: random.Random, number: int) -> str:
    lines = [f"- accessKey: account{number}", "  secretKey: '12345678'", f"  admin: {chosen.choice(('true', 'false'))}"]
    lines += [
        f"  {key}: '{chosen.choice(PERMISSIONS)}'"
        for key in ("defaultTopicPerm", "defaultGroupPerm")
        if chosen.random() < 0.5
    ]
    for key in ("topicPerms", "groupPerms"):
        items = [f"  - '{name}={chosen.choice(PERMISSIONS)}'" for name in NAMES if chosen.random() < 0.3]
        lines += [f"  {key}:", *items] if items else []
    return "\n".join(lines) + "\n"


def question(account: str | None, kind: ResourceType, name: str, action: Action) -> str:
    key = retry_topic(name) if kind is ResourceType.GROUP else name
    return f"allowed\t{account}\t{key}\t{action.value}"


def ask(version: str, home: Path, questions: list[str]) -> list[str]:
    """Return the answers of Apache's classes, one for each line."""
    done = subprocess.run(
        java_acl_v1(version, home),
        input="\n".join(questions) + "\n",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
