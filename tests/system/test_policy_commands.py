"""Policies as code at a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.command import Run, run_as
from tests.fixtures.server import SUPER, SUPER_SECRET, Server

POLICY = """\
version: 1
users:
  shop: {secret: {env: SHOP_SECRET}}
policies:
  User:shop:
    custom:
      - {resource: "Topic:order*", actions: Pub, decision: Allow}
      - {resource: Topic:order-secret, actions: All, decision: Deny}
    default:
      - {resource: "Group:*", actions: Sub, decision: Allow}
tests:
  - {user: shop, action: Pub, resource: Topic:orders, must: allow}
"""
PLAIN = "accounts:\n  - {accessKey: account1, secretKey: secret-one, topicPerms: [a=PUB]}\n"


@pytest.fixture
def admin(server: Server, tmp_path: Path) -> Run:
    return run_as(server, directory=tmp_path, SHOP_SECRET="shop-secret")


def test_a_policy_is_planned_applied_and_in_force(server: Server, admin: Run, tmp_path: Path) -> None:
    """A policy is in force after one `apply`, which leaves nothing to do; a changed secret is planned again."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    admin("user", "delete", "shop")
    planned = admin("plan", "-f", "policy.yaml", "--json")
    assert planned.code == 1, planned.err
    assert [step["name"] for step in planned.lines[0]["steps"]] == ["shop", "shop"]
    assert admin("apply", "-f", "policy.yaml").code == 0
    assert admin("plan", "-f", "policy.yaml").out == "nothing to change\n"
    assert admin("test", "policy.yaml").out == "1 of 1 tests pass\n"

    shop = run_as(server, "shop", "shop-secret")
    asked = ("--user", "shop", "--action", "Pub", "--resource")
    assert admin("explain", *asked, "Topic:orders").code == 0
    assert admin("explain", *asked, "Topic:order-secret").code == 1
    assert shop("send", "order-secret", "no").code == 1
    rotated = admin("plan", "-f", "policy.yaml", "--json", SHOP_SECRET="another-secret")
    assert rotated.lines[0]["steps"] == [
        {"verb": "change", "what": "user", "name": "shop", "details": ["the secret changes"]}
    ]
    assert admin("can", "shop", "--json").lines[0]["rights"][0]["resource"] == "Topic:order*"
    assert shop("can", "shop").code == 3, "a user without Cluster Get may not look"


def test_an_export_applied_again_changes_nothing(admin: Run, tmp_path: Path) -> None:
    """This holds with and without `--prune`."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    assert admin("apply", "-f", "policy.yaml").code == 0
    (tmp_path / "export.yaml").write_text(admin("export").out)

    assert "shop-secret" not in (tmp_path / "export.yaml").read_text()
    assert admin("plan", "-f", "export.yaml", "--prune").out == "nothing to change\n"


def test_the_last_super_user_is_never_deleted(admin: Run, tmp_path: Path) -> None:
    """A server refuses it, as a policy file does."""
    (tmp_path / "lock-out.yaml").write_text(f"version: 1\nusers: {{{SUPER}: {{type: Normal}}}}\n")
    refused = admin("apply", "-f", "lock-out.yaml")

    assert refused.code == 2
    assert "no enabled Super user would be left" in refused.err


def test_acl_1_0_migrates_to_a_server(admin: Run, tmp_path: Path) -> None:
    """A second migration creates nothing, since the account exists."""
    (tmp_path / "plain_acl.yml").write_text(PLAIN)
    first = admin("migrate", "plain_acl.yml", "--apply", "--json")
    again = admin("migrate", "plain_acl.yml", "--apply", "--json")

    assert first.code == again.code == 0, first.err + again.err
    assert [one["user"] for one in json.loads(first.out)["accounts"]] == ["account1"]
    assert json.loads(again.out)["accounts"] == []
    assert [note["kind"] for note in json.loads(again.out)["notes"]] == ["existing-user"]


def test_acl_1_0_of_a_version_migrates_to_a_server(admin: Run, tmp_path: Path) -> None:
    """The version decides about an admin with permissions, and a white list limits the account to its addresses."""
    (tmp_path / "plain_acl.yml").write_text(
        "accounts:\n"
        "- {accessKey: operator, secretKey: secret-one, admin: true, topicPerms: [a=PUB]}\n"
        "- {accessKey: elsewhere, secretKey: secret-two, topicPerms: [a=PUB], whiteRemoteAddress: 10.9.*.*}\n"
    )
    done = admin(
        "migrate", "plain_acl.yml", "--from-version", "5.2.0", "--white-lists", "as-sources", "--apply", "--json"
    )

    assert done.code == 0, done.err
    assert [(one["user"], one["type"]) for one in json.loads(done.out)["accounts"]] == [
        ("operator", "Super"),
        ("elsewhere", "Normal"),
    ]
    assert "10.9.0.0/16" in admin("acl", "get", "User:elsewhere").out
    # Other tests rely on the only Super user.
    assert admin("user", "delete", "operator").code == 0


def test_changes_of_too_many_bytes_are_an_error(admin: Run, tmp_path: Path) -> None:
    """A broker closes a connection whose frame is too long; the command names the cause and a remedy."""
    name = "x" * (17 << 20)
    (tmp_path / "policy.yaml").write_text(POLICY.replace("Topic:order-secret", f"Topic:{name}"))
    refused = admin("apply", "-f", "policy.yaml")

    assert refused.code == 1
    assert "the changes are 17 MiB, and brokers accept at most 16 MiB at once by default" in refused.err
    assert name[:100] not in admin("export").out


def test_a_plan_that_changes_the_signed_in_user_causes_a_warning(admin: Run, tmp_path: Path) -> None:
    """Both `plan` and `apply` warn if the plan changes the user that runs them."""
    (tmp_path / "policy.yaml").write_text(
        f"version: 1\nusers:\n  {SUPER}: {{type: Super, secret: {{env: NEXT}}}}\n  root: {{type: Super, secret: {{env: NEXT}}}}\n"
    )
    mind = f"note: this changes your own user `{SUPER}` (change: the secret changes)"
    assert mind in admin("plan", "-f", "policy.yaml", NEXT="another-secret").out.splitlines()
    assert "mind" not in admin("plan", "-f", "policy.yaml", NEXT=SUPER_SECRET).out
    assert mind in admin("apply", "-f", "policy.yaml", NEXT="another-secret").out.splitlines()

    assert admin("plan", "-f", "policy.yaml", NEXT="another-secret").code != 0, "the old secret is none any more"
    back = admin("apply", "-f", "policy.yaml", NEXT=SUPER_SECRET, MQGUARD_SECRET_KEY="another-secret")
    assert back.code == 0, back.err
    assert admin("user", "delete", "root").code == 0, "others here count on one Super user"
