"""Short forms that run `mqguard` in the process of the test."""

import json

import pytest

from mqguard.cli.main import main


def run(capsys, *words):
    """Run a command, and return its exit code, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def run_json(capsys, *words):
    """Run a command with `--json`, and return its exit code and the one object that it prints."""
    code, out, err = run(capsys, *words, "--json")
    assert err == ""
    return code, json.loads(out)
