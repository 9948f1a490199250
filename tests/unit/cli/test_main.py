"""Behaviour that all commands share: help, errors in one line, exit codes and completion."""

import subprocess
import sys
import time

import click
import pytest

from mqguard.cli.main import COMMANDS, main
from mqguard.cli.output import Exit, report
from mqguard.config.errors import ConfigInvalid
from mqguard.errors import MqguardError, NotFound
from mqguard.net.errors import LinkRefused, LinkTimeout


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sned"], "mqguard: no such command 'sned'"),
        (["send", "orders"], "mqguard: missing argument 'TEXT'"),
        (["send", "a", "b", "--colour"], "mqguard: no such option"),
        (["receive", "a", "--count", "0"], "mqguard: invalid value for '--count'"),
        (
            ["send", "a", "b", "--access-key", "x"],
            "mqguard: `--access-key` and `--secret-key` belong together: give both",
        ),
        (["user", "update", "alice"], "mqguard: there is nothing to change: give `--secret`, `--type` or `--status`"),
        (["standalone", "--set", "x"], "mqguard: `x` is not a valid setting: write KEY=VALUE"),
        (["standalone", "--set", "key:5ecret=x"], "mqguard: `key…` is not a valid setting: write KEY=VALUE"),
        (["standalone", "--set", "key {5ecret}"], "mqguard: `key…` is not a valid setting: write KEY=VALUE"),
        (
            ["user", "create", "bob", "5ecret"],
            "mqguard: got unexpected extra argument (see `mqguard user create --help`)",
        ),
        (["standalone", "--set", "listenPrt=1"], "mqguard: flag --set: unknown key `listenPrt`: did you mean"),
        (["acl", "create", "alice", "-r", "Topic:a", "-a", "Pub"], "mqguard: `alice` is not a valid subject"),
        (["acl", "create", "User:a", "-r", "Topic:a", "-a", "Publish"], "mqguard: unknown action `Publish`"),
    ],
)
def test_a_wrong_option_is_one_line_on_standard_error_and_code_2(capsys, words, message):
    code, out, err = run(capsys, *words)
    assert (code, out) == (Exit.USAGE, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_with_json_the_error_is_json(capsys):
    code, out, err = run(capsys, "send", "orders", "--json")
    assert (code, out) == (2, "")
    assert err == '{"error": "missing argument \'TEXT\' (see `mqguard send --help`)", "exit": 2}\n'


def test_an_unreachable_server_is_code_3(capsys):
    code, _, err = run(capsys, "topic", "list", "--namesrv", "127.0.0.1:1")
    assert code == Exit.UNREACHABLE
    assert err == "mqguard: `127.0.0.1:1` cannot be reached (connection refused)\n"


@pytest.mark.parametrize("address", ["127.0.0.1", ":9876", "host:0", "host:70000", "host:x", ""])
def test_an_invalid_address_is_code_2(capsys, address):
    code, _, err = run(capsys, "topic", "list", "--namesrv", address)
    assert code == Exit.USAGE
    assert "is not a valid address: write HOST:PORT" in err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigInvalid("x"), 2, "mqguard: x\n"),
        (LinkRefused("x"), 3, "mqguard: x\n"),
        (LinkTimeout("x"), 3, "mqguard: x\n"),
        (NotFound("x"), 4, "mqguard: x\n"),
        (MqguardError("x"), 1, "mqguard: x\n"),
        (click.Abort(), 130, ""),
        (KeyboardInterrupt(), 130, ""),
        (ValueError("x"), 1, "mqguard: unexpected ValueError: x (set MQGUARD_TRACEBACK=1 to see the traceback)\n"),
    ],
)
def test_every_error_has_its_code(capsys, error, code, text):
    assert report(error, as_json=False) == code
    assert capsys.readouterr().err == text


def test_every_command_is_listed_in_order_with_help(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    places = [out.index(f"\n  {command.name} ") for command in COMMANDS]
    assert places == sorted(places)
    assert all(command.help for command in COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(capsys, shell):
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0
    assert "_MQGUARD_COMPLETE" in out


def test_version_prints_name_and_version(capsys):
    code, out, _ = run(capsys, "version")
    assert code == 0
    assert out.startswith("mqguard ")


def test_help_loads_nothing_heavy():
    """Completion runs the program at each press of the key, so help must not load the server or cryptography."""
    program = (
        "import sys\n"
        "import mqguard.cli.main\n"
        "print([name for name in ('cryptography', 'rocksdict', 'uvloop', 'asyncio', 'yaml') if name in sys.modules])"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert time.monotonic() - began < 5
