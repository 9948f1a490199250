"""The words for what can be wrong, which programs and documents repeat."""

from mqguard.auth.analysis.access_state import EntryLocation
from mqguard.auth.analysis.lint import LintRule
from mqguard.auth.policy import PolicyType


def test_rules_are_machine_words():
    """They stand in reports and in what programs filter by, so none may change unnoticed."""
    assert [str(rule) for rule in LintRule] == [
        "shadowed",
        "redundant",
        "contradictory",
        "unreachable",
        "default-silent",
        "wide",
        "no-user",
        "no-rights",
        "super-policies",
    ]


def test_a_place_says_where_an_entry_stands():
    assert EntryLocation("alice", PolicyType.DEFAULT, 3).text == "User:alice Default entry 3"
