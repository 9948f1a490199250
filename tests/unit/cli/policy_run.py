"""Runs `mqguard` in this process for the tests of commands about policies."""

import json

import pytest

from mqguard.cli.main import main


def run(capsys, *words):
    """Exit code, output and errors of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def run_json(capsys, *words):
    """Exit code and the one JSON object that a command prints."""
    code, out, err = run(capsys, *words, "--json")
    assert err == ""
    return code, json.loads(out)
