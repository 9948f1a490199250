"""A denial is found on disk by the id that the peer received."""

import json

import pytest

from mqguard.telemetry.audit_files import find_change, find_decision


@pytest.fixture(name="log")
def a_log_of_three_parts(tmp_path):
    """Ten records, the oldest in the part set aside first."""
    log = tmp_path / "audit.jsonl"
    records = [json.dumps({"user": "a", "decision": f"d{number}"}, separators=(",", ":")) for number in range(10)]
    (tmp_path / "audit.jsonl.2").write_text("\n".join(records[:3]) + "\n")
    (tmp_path / "audit.jsonl.1").write_text("\n".join(records[3:6]) + "\n")
    log.write_text("\n".join(records[6:]) + "\n")
    return log


@pytest.mark.parametrize("number", range(10))
def test_it_is_found_wherever_it_is(log, number):
    """In the file that is written or in a part set aside."""
    assert find_decision(log, f"d{number}") == {"user": "a", "decision": f"d{number}"}


@pytest.mark.parametrize("decision_id", ["d10", "d", "", "d1\n", '"', "*", "d1 ", "x" * 100])
def test_an_id_that_never_was_is_not_found(log, decision_id):
    """Only the whole id counts."""
    assert find_decision(log, decision_id) is None


def test_a_name_that_looks_like_a_record_is_not_taken_for_one(tmp_path):
    """The member counts, not a text that happens to hold it."""
    log = tmp_path / "audit.jsonl"
    lines = [
        '{"user":"x","note":{"decision":"d1"}}',
        '{"user":"y","permissions":[],"decision":"d1"}',
        '{"user":"z","decision":"d1',
    ]
    log.write_text("\n".join(lines))

    assert find_decision(log, "d1") == {"user": "y", "permissions": [], "decision": "d1"}


def test_no_log_no_decision(tmp_path):
    """Neither a missing nor an empty file is an error."""
    assert find_decision(tmp_path / "none", "d1") is None
    (tmp_path / "empty").touch()
    assert find_decision(tmp_path / "empty", "d1") is None


def test_refusals_of_unauthenticated_peers_are_in_files_of_their_own(tmp_path):
    log = tmp_path / "audit.jsonl"
    log.write_text('{"decision":"d1"}\n')
    (tmp_path / "audit.jsonl.unauthenticated").write_text('{"decision":"d2"}\n')
    (tmp_path / "audit.jsonl.unauthenticated.1").write_text('{"decision":"d3"}\n')
    assert [find_decision(log, f"d{number}") for number in (1, 2, 3, 4)] == [
        {"decision": "d1"},
        {"decision": "d2"},
        {"decision": "d3"},
        None,
    ]


def test_a_change_is_found_by_its_id(tmp_path):
    log = tmp_path / "audit.jsonl"
    log.write_text('{"event":"change","subject":"\\"id\\":\\"c2\\"","id":"c1"}\n{"id":"c3","eve')
    (tmp_path / "audit.jsonl.1").write_text('{"event":"change","id":"c0"}\n')
    assert find_change(log, "c0")["id"] == "c0"
    assert find_change(log, "c1")["id"] == "c1"
    assert find_change(log, "c2") is None
    assert find_change(log, "c3") is None
    assert find_change(log, "not an id") is None


def test_a_gap_in_the_numbers_hides_no_older_part(log, tmp_path):
    """A process that was killed while it renamed full parts leaves a gap."""
    (tmp_path / "audit.jsonl.2").rename(tmp_path / "audit.jsonl.10")
    (tmp_path / "audit.jsonl.bak").write_text("")
    (tmp_path / "audit.jsonl.1.gz").write_text("")
    assert find_decision(log, "d0") == {"user": "a", "decision": "d0"}
    assert find_decision(log, "d4") == {"user": "a", "decision": "d4"}
