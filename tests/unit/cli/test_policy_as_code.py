"""`export`, `plan` and `apply` on the data directory of a stopped server."""

import gc
from contextlib import contextmanager

import pytest

from mqguard.admin.broker_states import BrokerState
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.manager import MetadataManager
from mqguard.auth.user import LiveSecret, Secret, User, UserType
from mqguard.cli import policy_as_code
from mqguard.runtime.access import open_manager
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import load_sealing_key
from tests.unit.cli.policy_run import run, run_json

POLICY = """\
version: 1
users:
  admin: {type: Super}
  shop: {secret: {env: SHOP_SECRET}}
policies:
  User:shop:
    custom:
      - {resource: "Topic:order*", actions: Pub, decision: Allow}
"""


@pytest.fixture
def store(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    kept = RocksMetadataStore(data / "access", load_sealing_key(data / "sealing.key", None))
    manager = MetadataManager(kept)
    manager.create_user("admin", "admin-secret", UserType.SUPER)
    manager.create_user("old", "old-secret")
    kept.close()
    return data


@pytest.fixture
def policy(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "shop-secret")
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_apply_makes_the_planned_changes_once(store, policy, capsys):
    """`plan` lists the steps and changes nothing; after `apply` there is nothing to change."""
    code, planned = run_json(capsys, "plan", "-f", policy, "--store", store)
    assert code == 1
    assert [(step["verb"], step["what"], step["name"]) for step in planned["steps"]] == [
        ("create", "user", "shop"),
        ("create", "policies", "shop"),
    ]
    assert [change["change"] for change in planned["rights"]] == ["gained"]

    code, applied = run_json(capsys, "apply", "-f", policy, "--store", store)
    assert (code, applied["plans"][str(store)]["steps"]) == (0, planned["steps"])
    with open_manager(store) as manager:
        assert manager.snapshot.user("shop").secrets[0].secret == Secret("shop-secret")
        assert manager.snapshot.user("old") is not None
        assert manager.snapshot.user("admin").secrets[0].secret == Secret("admin-secret")

    assert run(capsys, "plan", "-f", policy, "--store", store)[:2] == (0, "nothing to change\n")
    assert run(capsys, "apply", "-f", policy, "--store", store)[:2] == (0, "nothing to change\n")
    code, out, _ = run(capsys, "plan", "-f", policy, "--store", store, "--prune")
    assert (code, out.splitlines()[0]) == (1, "delete user old")


def test_an_error_in_a_part_applies_nothing(store, policy, capsys, monkeypatch):
    """A missing secret is reported with its position, and the other changes are not made either."""
    monkeypatch.delenv("SHOP_SECRET")
    code, _, err = run(capsys, "apply", "-f", policy, "--store", store)

    assert (code, err) == (
        2,
        f"mqguard: {policy}:4:18: the secret of `shop` was not found: the environment variable `SHOP_SECRET` is not set\n",
    )
    with open_manager(store) as manager:
        assert [user.name for user in manager.snapshot.users()] == ["admin", "old"]


def test_the_last_super_user_always_remains(store, tmp_path, capsys):
    """Neither a demotion nor `--prune` removes it."""
    path = tmp_path / "lock-out.yaml"
    for text, flags in (("users: {admin: {type: Normal}}", []), ("users: {old: {}}", ["--prune"])):
        path.write_text(f"version: 1\n{text}\n")
        code, _, err = run(capsys, "apply", "-f", path, "--store", store, *flags)
        assert code == 2
        assert "no enabled Super user would be left" in err
    with open_manager(store) as manager:
        assert manager.snapshot.live_supers == 1


def test_an_export_applied_again_changes_nothing(store, policy, tmp_path, capsys):
    """The exported file describes its store, without secrets."""
    run(capsys, "apply", "-f", policy, "--store", store)
    code, out, _ = run(capsys, "export", "--store", store)
    again = tmp_path / "export.yaml"
    again.write_text(out)

    assert code == 0
    assert "secret" not in out
    assert run(capsys, "plan", "-f", again, "--store", store, "--prune")[:2] == (0, "nothing to change\n")
    assert run_json(capsys, "export", "-f", again)[1] == {"document": out}


def test_secrets_that_cannot_be_compared_are_reported(policy, tmp_path, capsys):
    """The plan may then be incomplete, and the line explains how to set the secret."""
    state = tmp_path / "state.yaml"
    state.write_text(POLICY.replace(" {secret: {env: SHOP_SECRET}}", ""))
    code, out, _ = run(capsys, "plan", "-f", policy, "--against", state)

    hidden = "not compared: the secrets of `shop`, which the server hides: use `--set-secrets` to set them"
    assert (code, out) == (0, f"nothing to change\n\n{hidden}\n")
    assert run_json(capsys, "plan", "-f", policy, "--against", state)[1]["secretsNotCompared"] == ["shop"]
    many = "".join(f"  u{at}: {{secret: {{env: SHOP_SECRET}}}}\n" for at in range(7))
    (tmp_path / "many.yaml").write_text("version: 1\nusers:\n" + many)
    state.write_text("version: 1\nusers:\n" + many.replace("secret: {env: SHOP_SECRET}", ""))
    out = run(capsys, "plan", "-f", tmp_path / "many.yaml", "--against", state)[1]
    assert "the secrets of `u0`, `u1`, `u2`, `u3`, `u4` and 2 more, which" in out
    out = run(capsys, "plan", "-f", tmp_path / "many.yaml", "--against", state, "--set-secrets")[1]
    assert "not compared" not in out
    assert out.count("the secret changes") == 7


def test_each_broker_has_its_own_steps(policy, capsys, monkeypatch):
    """`plan` lists the steps of each broker if they differ, otherwise once."""
    secret = (LiveSecret(Secret("shop-secret")),)
    admin = User("admin", (LiveSecret(Secret("admin-secret")),), UserType.SUPER)
    states = [AccessState.of([admin], []), AccessState.of([admin, User("shop", secret)], [])]

    @contextmanager
    def brokers(_connection):
        yield [BrokerState(f"broker-{at}", None, state) for at, state in enumerate(states)]

    monkeypatch.setattr(policy_as_code, "open_brokers", brokers)
    code, out, _ = run(capsys, "plan", "-f", policy)
    assert code == 1
    first, second = out.split("broker-1:\n")
    assert first.startswith("broker-0:\ncreate user shop\n")
    assert second.startswith("create policies shop\n")
    code, found = run_json(capsys, "plan", "-f", policy)
    assert [len(found["plans"][name]["steps"]) for name in ("broker-0", "broker-1")] == [2, 1]

    states[0] = states[1]
    code, out, _ = run(capsys, "plan", "-f", policy)
    assert (code, out.count("create policies shop")) == (1, 1)
    assert [step["name"] for step in run_json(capsys, "plan", "-f", policy)[1]["steps"]] == ["shop"]


def test_only_one_state_may_be_given(store, policy, capsys):
    """Two of them are an error that names the options."""
    code, _, err = run(capsys, "plan", "-f", policy, "--store", store, "--against", policy)

    assert code == 2
    assert "`--against` and `--store` are two states" in err


def test_the_garbage_collector_is_on_again_afterwards(policy, capsys):
    """A command switches it off and restores its state, even after an error."""
    for path in (policy, "none.yaml"):
        run(capsys, "plan", "-f", path, "--against", path)
        assert gc.isenabled()


def test_a_name_forges_no_line(tmp_path, capsys, monkeypatch):
    """Others choose the names of users and resources, so a name must not look like another line of the command."""
    monkeypatch.setenv("SHOP_SECRET", "shop-secret")
    path, before = tmp_path / "policy.yaml", tmp_path / "before.yaml"
    name = r"a\nnothing to change\e[2J"
    before.write_text("version: 1\n")
    path.write_text(
        "version: 1\n"
        f'users: {{"{name}": {{secret: {{env: SHOP_SECRET}}}}}}\n'
        f'policies: {{"User:{name}": {{custom: [{{resource: "Topic:{name}", actions: Pub, decision: Allow}}]}}}}\n'
        f'tests: [{{user: "{name}", action: Pub, resource: "Topic:{name}", must: deny}}]\n'
    )
    for words in (["plan", "-f", path, "--against", before], ["diff", before, path], ["test", "-f", path]):
        code, out, _ = run(capsys, *words)
        assert code == 1
        assert not [line for line in out.splitlines() if line.startswith("nothing")]
        assert "\x1b" not in out
        assert r"a\nnothing to change\x1b[2J" in out
    out = run(capsys, "export", "-f", path)[1]
    assert "\x1b" not in out
    assert f'"{name}"' in out
