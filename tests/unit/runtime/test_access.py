"""Users at a start: configured ones, those of ACL 1.0, and always an administrator."""

import logging

import pytest

from mqguard.auth.manager import MetadataManager
from mqguard.auth.user import UserStatus, UserType
from mqguard.config.errors import ConfigInvalid
from mqguard.config.loader import Flag, load
from mqguard.errors import MqguardError
from mqguard.runtime.access import prepare_users
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.first_start import read_credentials
from mqguard.runtime.process import SystemClock
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.telemetry.log import redact

PLAIN_ACL = """\
accounts:
- accessKey: oldadmin
  secretKey: "12345678"
  admin: true
- accessKey: olduser
  secretKey: "12345678"
  defaultTopicPerm: DENY
  topicPerms: [orders=PUB]
"""
SO_IT_ENDS = "mqguard does not: the account needs its signature and its rights everywhere"
NOTHING_ASKED = "1.0 required no credentials from there, not even a signature"
READING = "1.0 let every account read statistics and configuration; in mqguard, reading requires a right"


class Installation:
    """The data directory of a start, and the users that it creates."""

    def __init__(self, data):
        self.data = data
        self.store = MemoryMetadataStore()
        self.made = []

    def start(self, **values):
        manager = MetadataManager(self.store)
        config = load(flags=[Flag("--set", key, str(value)) for key, value in values.items()])
        prepare_users(
            manager,
            config,
            self.data,
            lambda credentials, path: self.made.append((credentials, path)),
            SystemClock(),
        )
        return manager

    def users(self):
        return {user.name: user for user in MetadataManager(self.store).snapshot.users()}


@pytest.fixture
def house(tmp_path):
    return Installation(tmp_path)


def test_the_first_start_makes_an_administrator_and_the_next_does_not(house):
    house.start()
    ((credentials, path),) = house.made
    assert house.users()["admin"].type is UserType.SUPER
    assert read_credentials(house.data) == credentials
    assert path == house.data / "tools.yml"
    house.start()
    assert len(house.made) == 1


def test_a_crash_between_file_and_user_is_repaired_by_the_next_start(house):
    house.start()
    house.store = MemoryMetadataStore()
    house.start()
    assert len(house.made) == 2
    assert read_credentials(house.data) == house.made[1][0]
    assert house.users()["admin"].secrets[0].secret == house.made[1][0].secret


def test_configured_users_are_made_once_and_never_changed(house):
    values = {
        "initAuthenticationUser": '{"username":"root","password":"12345678"}',
        "innerClientAuthenticationCredentials": '{"accessKey":"inner","secretKey":"87654321"}',
    }
    manager = house.start(**values)
    assert {name: user.type for name, user in house.users().items()} == {
        "root": UserType.SUPER,
        "inner": UserType.SUPER,
    }
    manager.update_user("root", "another-secret")
    house.start(**values)
    assert house.users()["root"].secrets[0].secret.reveal() == "another-secret"
    assert house.made == []


def test_inner_credentials_of_a_normal_user_are_reported(house, caplog):
    """Only a Super user registers brokers, and a user that exists is never changed."""
    values = {
        "initAuthenticationUser": '{"username":"root","password":"12345678"}',
        "innerClientAuthenticationCredentials": '{"accessKey":"inner","secretKey":"87654321"}',
    }
    manager = house.start(**values)
    assert "`inner`" not in caplog.text
    manager.update_user("inner", user_type=UserType.NORMAL)
    house.start(**values)
    assert "names the user `inner`, which is not an enabled Super user: requests of brokers are refused" in caplog.text
    manager.update_user("inner", user_type=UserType.SUPER)
    caplog.clear()
    house.start(**values)
    assert "`inner`" not in caplog.text


def test_without_authentication_no_user_is_created(house):
    house.start(authenticationEnabled="false", authorizationEnabled="false")
    assert house.users() == {}
    assert house.made == []


def test_a_disabled_administrator_is_not_replaced_behind_its_back(house):
    manager = house.start()
    manager.update_user("admin", status=UserStatus.DISABLE, force=True)
    with pytest.raises(StartFailed, match="no Super user is enabled, and `admin` exists"):
        house.start()


def test_a_deleted_account_of_acl_1_stays_deleted(house, tmp_path, caplog):
    """Its file still has the old secret and the old rights."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plain_acl.yml").write_text(PLAIN_ACL)
    old = {"migrateAuthFromV1Enabled": "true", "rocketmqHome": tmp_path}
    house.start(**old).delete_user("olduser")
    with caplog.at_level(logging.INFO):
        assert house.start(**old).get_user("olduser") is None
    assert "1 accounts of" in caplog.text
    assert "were migrated by an earlier start and then deleted" in caplog.text
    # Another account is carried over all the same, and everything is where there are no users yet.
    with (tmp_path / "conf" / "plain_acl.yml").open("a") as file:
        file.write("- {accessKey: newuser, secretKey: newuser-secret, topicPerms: [a=PUB]}\n")
    manager = house.start(**old)
    assert (manager.get_user("olduser"), manager.get_user("newuser").name) == (None, "newuser")
    house.store = MemoryMetadataStore()
    assert house.start(**old).get_user("olduser") is not None


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"\xff"])
def test_a_damaged_list_of_accounts_stops_the_start(house, tmp_path, content):
    """Without the list, a start cannot see which users were deleted."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plain_acl.yml").write_text(PLAIN_ACL)
    house.start(migrateAuthFromV1Enabled="true", rocketmqHome=tmp_path)
    (house.data / "acl-v1-accounts.json").write_bytes(content)
    with pytest.raises(StartFailed, match=r"acl-v1-accounts\.json` is damaged"):
        house.start(migrateAuthFromV1Enabled="true", rocketmqHome=tmp_path)


def test_accounts_of_acl_1_are_carried_over_once(house, tmp_path, caplog):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plain_acl.yml").write_text(PLAIN_ACL)
    with caplog.at_level(logging.INFO):
        house.start(migrateAuthFromV1Enabled="true", rocketmqHome=tmp_path)
    assert {name: user.type for name, user in house.users().items()} == {
        "oldadmin": UserType.SUPER,
        "olduser": UserType.NORMAL,
    }
    assert house.made == []
    assert f"ACL 1.0: 2 accounts of {tmp_path} were migrated" in caplog.messages
    before = house.users()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        house.start(migrateAuthFromV1Enabled="true", rocketmqHome=tmp_path)
    assert house.users() == before
    assert caplog.messages == [
        f"ACL 1.0: 0 accounts of {tmp_path} were migrated",
        f"ACL 1.0: 2 accounts of {tmp_path} exist as users and are not changed",
    ]


def test_the_log_of_a_migration_names_the_versions_that_differ(house, tmp_path, caplog):
    """A start does not know the version of the old brokers."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plain_acl.yml").write_text(
        "accounts:\n- {accessKey: oldadmin, secretKey: '12345678', admin: true, topicPerms: [t=PUB]}\n"
    )
    with caplog.at_level(logging.WARNING):
        house.start(migrateAuthFromV1Enabled="true", rocketmqHome=tmp_path)

    assert any("`oldadmin` on Topic:t (5.1.1 to 5.3.2: versions of 1.0 differ" in text for text in caplog.messages)


def test_a_start_shows_every_problem_of_all_old_files(house, tmp_path):
    """The error has a line for each problem."""
    (tmp_path / "conf" / "acl").mkdir(parents=True)
    (tmp_path / "conf" / "acl" / "a.yml").write_text("accounts:\n- {admin: maybe, key: x}\n")
    (tmp_path / "conf" / "plain_acl.yml").write_text("accounts: {}\n")
    with pytest.raises(MqguardError) as caught:
        house.start(migrateAuthFromV1Enabled="true", rocketmqHome=tmp_path)

    assert [line.split(": ")[0].removeprefix(f"{tmp_path}/conf/") for line in str(caught.value).splitlines()] == [
        *("acl/a.yml:2:11", "acl/a.yml:2:18", "plain_acl.yml:1:11")
    ]


STAYS_DENY = "which treats it as DENY: it stays DENY (Apache's migrator makes it Allow All)"


def test_what_a_migration_notes_is_in_the_log_whole(house, tmp_path, caplog):
    """A line for each note and each difference, whatever accounts are called; nothing in it is taken for a secret."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plain_acl.yml").write_text(
        'accounts:\n- {accessKey: "old\\nuser", secretKey: "12345678", whiteRemoteAddress: 10.0.0.1, topicPerms: [t=x]}\n'
    )
    with caplog.at_level(logging.WARNING):
        house.start(migrateAuthFromV1Enabled="true", rocketmqHome=tmp_path)
    path = tmp_path / "conf" / "plain_acl.yml"
    told = [redact(message).removeprefix(f"ACL 1.0: {path}:") for message in caplog.messages]
    user = r"`old\nuser`"
    assert told == [
        f"2:71: white-list: 1.0 allows everything to {user} from `10.0.0.1`, without a signature; {SO_IT_ENDS}",
        f"2:94: unknown-permission: `t=x` is not a permission of 1.0, {STAYS_DENY}",
        f"2:71: decisions differ for {user} on everything, from `10.0.0.1` without a signature ({NOTHING_ASKED})",
        f"2:3: decisions differ for {user} on every topic, group and cluster ({READING})",
    ]


def test_a_migration_needs_to_know_where_from(house, monkeypatch):
    monkeypatch.delenv("ROCKETMQ_HOME", raising=False)
    with pytest.raises(ConfigInvalid, match="flag --set: migrateAuthFromV1Enabled: `true` needs `rocketmqHome`"):
        house.start(migrateAuthFromV1Enabled="true")
    with pytest.raises(ConfigInvalid, match="the RocketMQ home `/no/such/home` is not a directory"):
        house.start(migrateAuthFromV1Enabled="true", rocketmqHome="/no/such/home")
