import pytest

from mqguard.auth.policy import Decision
from mqguard.auth.resource import ResourceType
from mqguard.auth.verdict import Reason, Verdict, denial_message


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (Reason.UNKNOWN_USER, "User:a not found."),
        (Reason.DISABLED, "User:a is disabled."),
        (Reason.DENIED, "User:a has no permission to access Topic:t from 10.0.0.1, the decision is deny."),
        (Reason.NO_MATCH, "User:a has no permission to access Topic:t from 10.0.0.1, no matched policies."),
        (Reason.MISSING_NAME, "User:a has no permission to access Topic:t from 10.0.0.1, no matched policies."),
        (Reason.NO_ACTION, "User:a has no permission to access Topic:t from 10.0.0.1, no matched policies."),
        (Reason.UNREADABLE, "Authorization failed. Please verify your access rights and try again."),
    ],
)
def test_denials_have_apaches_messages(reason, sentence):
    assert denial_message("a", ResourceType.TOPIC, "t", "10.0.0.1", Verdict(Decision.DENY, reason)) == sentence


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_a_denial_or_an_allowance(reason):
    if reason in (Reason.SUPER, Reason.ALLOWED):
        with pytest.raises(ValueError, match="not a denial"):
            denial_message("a", ResourceType.TOPIC, "t", "", Verdict(Decision.ALLOW, reason))
    else:
        assert denial_message("a", ResourceType.TOPIC, "t", "", Verdict(Decision.DENY, reason)).endswith(".")
