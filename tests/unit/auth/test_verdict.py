import pytest

from mqguard.auth.policy import Decision
from mqguard.auth.verdict import Reason, Verdict


@pytest.mark.parametrize("decision", Decision)
def test_a_verdict_is_neither_true_nor_false(decision):
    verdict = Verdict(decision, Reason.NO_MATCH)
    with pytest.raises(TypeError, match="use its `decision`"):
        bool(verdict)
    with pytest.raises(TypeError):
        assert verdict
    assert verdict.allowed is (decision is Decision.ALLOW)


def test_a_verdict_does_not_change():
    with pytest.raises(AttributeError):
        Verdict(Decision.DENY, Reason.DENIED).decision = Decision.ALLOW


def test_reasons_are_machine_words():
    assert all(reason.value.replace("-", "").isalpha() and reason.value.islower() for reason in Reason)
