"""A server in shadow mode, which does not enforce its policies."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fixtures.command import run, run_as
from tests.fixtures.server import Server


def test_a_denial_in_shadow_mode_is_allowed_and_audited(tmp_path: Path) -> None:
    """The start warns, the request is allowed, and `why` explains its record; administration is still denied."""
    with Server(tmp_path, settings={"authorizationEnforcement": "shadow"}) as server:
        assert "POLICIES ARE NOT ENFORCED" in server.log()
        elsewhere = str(tmp_path / "elsewhere")
        admin = run_as(server, MQGUARD_DATA=elsewhere)
        user = run_as(server, "watched", "watched-secret", MQGUARD_DATA=elsewhere)
        assert admin("user", "create", "watched", "-p", "watched-secret").code == 0
        assert user("topic", "create", "watched-topic").code == 0
        assert user("user", "create", "accomplice").code == 1
        server.stop()
        records = [json.loads(line) for line in (server.data / "audit" / "audit.jsonl").read_text().splitlines()]
        [shadow] = [one for one in records if one.get("verdict") == "shadow-deny" and one["code"] == 17]

    told = run("why", shadow["decision"], "--log", str(server.data / "audit" / "audit.jsonl"))
    assert "allowed in shadow mode; would be denied if enforced in authorization: no-match" in told.out
    assert "to reverse this decision: mqguard explain --user watched --action Create" in told.out


def test_an_unknown_mode_stops_the_start(tmp_path: Path) -> None:
    """Any value but the two modes is an error."""
    config = tmp_path / "broker.conf"
    config.write_text("authorizationEnforcement = off\n")
    ended = run("standalone", "--config", str(config), "--data", str(tmp_path / "data"))

    assert ended.code == 2
    assert "authorizationEnforcement" in ended.err
