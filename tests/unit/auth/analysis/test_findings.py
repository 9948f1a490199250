"""The keywords of the lint rules, which programs and documents repeat."""

from mqguard.auth.analysis.access_state import EntryLocation
from mqguard.auth.analysis.lint import LintRule
from mqguard.auth.policy import PolicyType


def test_rules_are_keywords():
    """Reports and filters of programs contain these keywords, so a change must be noticed."""
    assert [str(rule) for rule in LintRule] == [
        "shadowed",
        "redundant",
        "contradictory",
        "unreachable",
        "default-shadowed",
        "overly-broad",
        "no-user",
        "no-rights",
        "super-policies",
    ]


def test_a_location_names_subject_policy_and_number():
    assert EntryLocation("alice", PolicyType.DEFAULT, 3).text == "User:alice Default entry 3"
