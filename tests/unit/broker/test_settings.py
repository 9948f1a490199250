"""Configuration over the wire."""

import pytest

from mqguard.auth.seal import MASK
from mqguard.broker.settings import ExposedConfiguration, RuntimeOption
from mqguard.dispatch.request import ConfigurationRefused
from mqguard.errors import MqguardError


def number(text):
    if not text.isdecimal():
        raise MqguardError(f"`{text}` is no whole number")


@pytest.fixture
def applied():
    return {}


@pytest.fixture
def configuration(applied):
    return ExposedConfiguration(
        {"listenPort": "10911", "initAuthenticationUser": "top secret", "empty": "", "queues": "8", "hours": "72"},
        frozenset({"initAuthenticationUser", "empty"}),
        {
            name: RuntimeOption(number, lambda value, name=name: applied.update({name: value}))
            for name in ("queues", "hours")
        },
    )


def test_a_secret_is_never_shown(configuration):
    assert "top secret" not in configuration.text()
    assert configuration.get("initAuthenticationUser") == MASK
    assert configuration.get("empty") == ""
    assert configuration.get("unknown") is None


def test_an_option_is_changed(configuration, applied):
    assert configuration.change(b"queues=4\nhours=1\n") == {"queues": "4", "hours": "1"}
    assert applied == {"queues": "4", "hours": "1"}
    assert "queues=4\n" in configuration.text()


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"queues=4\nlistenPort=1", "listenPort"),
        (b"queues=4\nnoSuchKey=1", "noSuchKey"),
        (b"queues=4\nhours=many", "hours"),
        (b"queues=4\nhours=\\u12", "request:2"),
        (b"# nothing", "key=value"),
    ],
)
def test_one_invalid_key_prevents_all_changes(configuration, applied, body, names):
    before = configuration.text()
    with pytest.raises(ConfigurationRefused, match=names):
        configuration.change(body)
    assert applied == {}
    assert configuration.text() == before
