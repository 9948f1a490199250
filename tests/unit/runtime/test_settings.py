"""Options are converted to the settings of each part."""

import pytest

from mqguard.config.errors import ConfigInvalid
from mqguard.config.loader import Flag, load
from mqguard.engine.settings import EngineSettings
from mqguard.net.settings import NetSettings, TlsMode
from mqguard.runtime import settings


def config(**values):
    return load(flags=[Flag("--set", key.replace("__", "."), value) for key, value in values.items()])


def test_the_defaults_of_options_and_parts_agree():
    """An option that is not set must not change what a part does by itself."""
    found = settings.engine_settings(config())
    default = EngineSettings(process=found.process)
    assert found == default
    assert settings.net_settings(config()) == NetSettings()
    guard = settings.guard_settings(config())
    assert guard.authentication_enabled
    assert guard.authorization_enabled


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({}, "127.0.0.1"),
        ({"brokerIP1": "localhost"}, "127.0.0.1"),
        ({"brokerIP1": "::1"}, "::1"),
        ({"brokerIP1": "10.1.2.3"}, "0.0.0.0"),
        ({"brokerIP1": "2001:db8::1"}, "::"),
        ({"brokerIP1": "10.1.2.3", "bindAddress": "10.1.2.3"}, "10.1.2.3"),
    ],
)
def test_others_are_listened_to_only_where_routes_name_an_address_that_they_reach(values, address):
    assert settings.bind_address(config(**values)) == address


def test_authorization_without_authentication_must_be_meant():
    with pytest.raises(ConfigInvalid, match="would trust any name that a client sends"):
        settings.guard_settings(config(authenticationEnabled="false"))
    assert settings.guard_settings(
        config(authenticationEnabled="false", authorizationTrustsClaimedUser="true")
    ).trust_claimed_user


def test_the_log_is_synced_by_time_where_not_every_commit_is():
    assert settings.sync_interval_ms(config()) == 500
    assert settings.sync_interval_ms(config(flushIntervalCommitLog="20")) == 20
    assert settings.sync_interval_ms(config(flushDiskType="SYNC_FLUSH", flushIntervalCommitLog="20")) is None


def test_strategies_come_by_apache_class_name():
    name = "org.apache.rocketmq.auth.authentication.strategy.StatefulAuthenticationStrategy"
    assert settings.guard_settings(config(authenticationStrategy=name)).authentication_strategy.value == "Stateful"


def test_without_a_certificate_and_without_test_mode_there_is_no_tls():
    assert settings.net_settings(config(tls__test__mode__enable="false")).tls.mode is TlsMode.DISABLED
    with pytest.raises(ConfigInvalid, match=r"`enforcing` needs `tls.server.certPath` and `tls.server.keyPath`"):
        settings.net_settings(config(tls__test__mode__enable="false", tls__server__mode="enforcing"))


def test_the_password_of_a_key_is_not_in_a_repr():
    found = settings.net_settings(config(tls__server__keyPassword="hunter2-hunter2"))
    assert found.tls.key_password == "hunter2-hunter2"
    assert "hunter2" not in repr(found)


def test_a_host_is_an_address_or_a_name_that_the_system_knows():
    assert settings.resolve("10.1.2.3", "default") == "10.1.2.3"
    assert settings.resolve("2001:db8::1", "default") == "2001:db8::1"
    assert settings.resolve("localhost", "default") in ("127.0.0.1", "::1")
    with pytest.raises(
        ConfigInvalid, match=r"broker.conf:3: brokerIP1: this machine cannot resolve the name `no\.such\.host\.invalid`"
    ):
        settings.resolve("no.such.host.invalid", "broker.conf:3")


@pytest.mark.parametrize(
    ("read", "values", "message"),
    [
        (
            settings.engine_settings,
            {"maxMessageSize": "16M"},
            "flag --set: maxMessageSize: the maximum is `15M`",
        ),
        (settings.broker_settings, {"brokerId": "1"}, "flag --set: brokerId: mqguard cannot be a slave"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(read, values, message):
    with pytest.raises(ConfigInvalid) as caught:
        read(config(**values))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "asked", "required"), [("none", None, False), ("optional", "ca.pem", False), ("require", "ca.pem", True)]
)
def test_client_certificates_are_asked_for_as_the_word_says(word, asked, required):
    found = settings.net_settings(
        config(
            tls__server__mode="enforcing",
            tls__server__trustCertPath="ca.pem",
            tls__server__need__client__auth=word,
        )
    ).tls
    assert (found.client_ca, found.require_client_certificate) == (asked, required)


@pytest.mark.parametrize("more", [{}, {"tls__server__mode": "permissive"}, {"tls__server__mode": "disabled"}])
def test_client_certificates_are_not_required_with_plain_connections(more):
    """A plain connection shows no certificate, so `require` is refused unless every connection is encrypted."""
    with pytest.raises(ConfigInvalid) as caught:
        settings.net_settings(
            config(tls__server__trustCertPath="ca.pem", tls__server__need__client__auth="require", **more)
        )
    mode = more.get("tls__server__mode", "permissive")
    assert f"`require` contradicts `tls.server.mode = {mode}`" in str(caught.value)
    assert "set `tls.server.mode = enforcing`" in str(caught.value)


OFF = {"authenticationEnabled": "false", "authorizationEnabled": "false"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        (OFF, []),
        ({"brokerIP1": "10.1.2.3"}, []),
        ({"bindAddress": "0.0.0.0"}, ["set brokerIP1"]),
        ({"brokerIP1": "10.1.2.3", **OFF}, ["authentication is disabled", "authorization is disabled"]),
        ({"brokerIP1": "10.1.2.3", "authorizationEnabled": "false"}, ["authorization is disabled"]),
        ({"authorizationEnforcement": "shadow"}, ["POLICIES ARE NOT ENFORCED"]),
        (
            {"initAuthenticationUser": '{"username":"root","password":"12345678"}'},
            ["initAuthenticationUser gives the Super user `root` a secret that is easy to guess"],
        ),
        (
            {"innerClientAuthenticationCredentials": '{"accessKey":"inner","secretKey":"inner-1"}'},
            ["innerClientAuthenticationCredentials gives the Super user `inner` a secret that is easy to guess"],
        ),
        ({"initAuthenticationUser": '{"username":"root","password":"k3!x9Qz-77pW"}'}, []),
    ],
)
def test_settings_that_are_probably_not_intended_are_logged(values, words):
    found = settings.startup_warnings(config(**values))
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"listenPort": "2"}, "listenPort: the VIP channel needs a port number that is two lower: use one from 3"),
        ({"listenPort": "9878"}, "namesrvListenPort: the port 9876 is that of the VIP channel"),
    ],
)
def test_the_port_of_the_vip_channel_must_be_free_for_it(values, why):
    with pytest.raises(ConfigInvalid, match=why):
        settings.check(config(**values))
    settings.check(config(**values, vipChannelEnable="false"))
