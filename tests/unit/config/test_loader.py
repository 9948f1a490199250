"""The later source wins, every value knows its source, and errors say place, key and remedy."""

import pytest

from mqguard.config import access_options, loader, server_options
from mqguard.config.errors import ConfigInvalid
from mqguard.config.loader import MAX_FILE_BYTES, Flag, Level, load

SEED = """\
# the keys of a broker that Apache's documentation shows
brokerClusterName = DefaultCluster
brokerName=broker-a
brokerId=0
deleteWhen=04
fileReservedTime=48
brokerRole=ASYNC_MASTER
flushDiskType=ASYNC_FLUSH
authenticationEnabled = true
authenticationProvider = org.apache.rocketmq.auth.authentication.provider.DefaultAuthenticationProvider
initAuthenticationUser = {"username":"rocketmq","password":"12345678"}
innerClientAuthenticationCredentials = {"accessKey":"inner","secretKey":"in:ner=1"}
authenticationMetadataProvider = org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider
authenticationStrategy = org.apache.rocketmq.auth.authentication.strategy.StatefulAuthenticationStrategy
authorizationEnabled = true
authorizationProvider = org.apache.rocketmq.auth.authorization.provider.DefaultAuthorizationProvider
authorizationMetadataProvider = org.apache.rocketmq.auth.authorization.provider.LocalAuthorizationMetadataProvider
authorizationWhitelist = 105,106
"""


def conf(tmp_path, text):
    path = tmp_path / "broker.conf"
    path.write_text(text)
    return path


def test_the_keys_of_an_apache_broker_work_unchanged(tmp_path):
    found = load(conf(tmp_path, SEED))
    assert found.get(access_options.AUTHENTICATION_STRATEGY) == "stateful"
    assert found.get(access_options.AUTHORIZATION_STRATEGY) == "stateless"
    assert found.get(access_options.AUTHORIZATION_WHITELIST) == {"105", "106"}
    user = found.get(access_options.INIT_AUTHENTICATION_USER)
    assert (user.name, user.secret.reveal()) == ("rocketmq", "12345678")
    inner = found.get(access_options.INNER_CLIENT_CREDENTIALS)
    assert (inner.name, inner.secret.reveal()) == ("inner", "in:ner=1")
    assert "12345678" not in repr(user)
    assert [(notice.level, notice.text) for notice in found.notices] == [
        (
            Level.INFO,
            "broker.conf: 2 keys of Apache RocketMQ have no effect here: `deleteWhen` (line 5), `brokerRole` (line 7)",
        )
    ]


def test_the_later_source_wins_and_is_named(tmp_path):
    path = conf(tmp_path, "listenPort=1\nbrokerName=file\nbrokerId=7\n")
    found = load(
        path, {"MQGUARD_BROKER_NAME": "environment", "MQGUARD_LISTEN_PORT": "2"}, [Flag("--port", "listenPort", "3")]
    )
    assert [
        (found.get(option), found.source(option)) for option in (server_options.LISTEN_PORT, server_options.BROKER_NAME)
    ] == [
        (3, "flag --port"),
        ("environment", "environment MQGUARD_BROKER_NAME"),
    ]
    assert (found.get(server_options.BROKER_ID), found.source(server_options.BROKER_ID)) == (7, "broker.conf:3")
    assert (found.get(server_options.CLUSTER_NAME), found.source(server_options.CLUSTER_NAME)) == (
        "DefaultCluster",
        "default",
    )
    assert found.is_set(server_options.BROKER_ID)
    assert not found.is_set(server_options.CLUSTER_NAME)


def test_with_nothing_said_everybody_is_checked():
    found = load()
    assert found.get(access_options.AUTHENTICATION_ENABLED)
    assert found.get(access_options.AUTHORIZATION_ENABLED)
    assert found.notices == ()


def test_every_default_is_what_its_own_kind_could_read_or_is_documented():
    for option in loader.OPTIONS:
        if not option.says_default:
            assert option.kind.read(_text(option.default)) == option.default, option.name


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "listenPort=eleven",
            "broker.conf:2: listenPort: `eleven` is not valid: write a whole number from 0 to 65535",
        ),
        ("listenPort=65536", "broker.conf:2: listenPort: `65536` is not valid: write a whole number from 0 to 65535"),
        ("listenPort=²", "broker.conf:2: listenPort: `²` is not valid: write a whole number from 0 to 65535"),
        (
            "authenticationEnabled=yes",
            "broker.conf:2: authenticationEnabled: `yes` is not valid: write `true` or `false`",
        ),
        (
            "flushDiskType=FLUSH",
            "broker.conf:2: flushDiskType: `FLUSH` is not valid: write `ASYNC_FLUSH` or `SYNC_FLUSH`",
        ),
        (
            "authenticationProvider=com.example.Mine",
            (
                "broker.conf:2: authenticationProvider: `com.example.Mine` is not valid: this class is unknown: "
                "write `default`, or `org.apache.rocketmq.auth.authentication.provider.DefaultAuthenticationProvider`; "
                "for a plugin its registered name, or `package.module:Name`"
            ),
        ),
        (
            "initAuthenticationUser=rocketmq/hunter2",
            (
                "broker.conf:2: initAuthenticationUser: the value is not valid: write JSON with both members, "
                '`{"username":"…","password":"…"}`'
            ),
        ),
        (
            "innerClientAuthenticationCredentials=file:/no/such",
            (
                "broker.conf:2: innerClientAuthenticationCredentials: the value is not valid: the file `/no/such` cannot "
                "be read: No such file or directory"
            ),
        ),
        (
            "messageDelayLevel=1s 5x",
            (
                "broker.conf:2: messageDelayLevel: `1s 5x` is not valid: write delays separated by blanks, "
                "such as `1s 5s 10s 1m 2h 1d`"
            ),
        ),
        (
            "proxyProtocolPeers=10.0.0.0/33",
            (
                "broker.conf:2: proxyProtocolPeers: `10.0.0.0/33` is not valid: write addresses or CIDR ranges separated "
                "by commas, such as `10.0.0.0/8,::1`"
            ),
        ),
    ],
)
def test_a_malformed_value_stops_with_place_key_and_remedy(tmp_path, line, message):
    with pytest.raises(ConfigInvalid) as caught:
        load(conf(tmp_path, f"# first\n{line}\n"))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "authenticationEnable",
            "broker.conf:1: unknown key `authenticationEnable`: did you mean `authenticationEnabled`?",
        ),
        (
            "AuthorizationEnabled",
            "broker.conf:1: unknown key `AuthorizationEnabled`: did you mean `authorizationEnabled`?",
        ),
        ("brokerRol", "broker.conf:1: unknown key `brokerRol`: did you mean `brokerRole`?"),
        ("xyzzy", "broker.conf:1: unknown key `xyzzy`"),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(tmp_path, key, message):
    (notice,) = load(conf(tmp_path, f"{key}=true\n")).notices
    assert (notice.level, notice.text) == (Level.WARNING, message)


def test_a_repeated_key_is_said_and_the_last_one_used(tmp_path):
    found = load(conf(tmp_path, "listenPort=1\nlistenPort=2\n"))
    assert found.get(server_options.LISTEN_PORT) == 2
    assert [notice.text for notice in found.notices] == [
        "broker.conf:2: `listenPort` is also set in line 1: this one is used"
    ]


def test_an_unknown_variable_is_a_warning_and_the_command_lines_own_are_not():
    found = load(
        None, {"MQGUARD_LISTEN_PROT": "1", "MQGUARD_ACCESS_KEY": "x", "MQGUARD_SECRET_ALICE": "x", "HOME": "/"}
    )
    assert [notice.text for notice in found.notices] == [
        "environment: unknown `MQGUARD_LISTEN_PROT`: did you mean `MQGUARD_LISTEN_PORT`?"
    ]


def test_a_secret_can_be_referred_to(tmp_path):
    (tmp_path / "user.json").write_text('{"username":"a","password":"b"}\n')
    found = load(conf(tmp_path, f"initAuthenticationUser=file:{tmp_path}/user.json\n"))
    assert found.get(access_options.INIT_AUTHENTICATION_USER).secret.reveal() == "b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"a\0b", "is not text: write a properties file"),
        (b"#" * (MAX_FILE_BYTES + 1), "is larger than 1 MiB: is it the right file?"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path, content, message):
    path = tmp_path / "broker.conf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid) as caught:
        load(path)
    assert str(caught.value) == f"the configuration file `{path}` {message}"


def test_an_unknown_key_on_the_command_line_stops():
    with pytest.raises(ConfigInvalid) as caught:
        load(flags=[Flag("--set", "listenPrt", "1")])
    assert str(caught.value) == "flag --set: unknown key `listenPrt`: did you mean `listenPort`?"
