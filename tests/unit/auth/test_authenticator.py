import pytest

from mqguard.auth.authentication import SignedCredentials, authenticate, sign
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.ports import Metadata
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import LiveSecret, Secret, User, UserStatus, UserType

ALICE = User("alice", (LiveSecret(Secret("s3cret")), LiveSecret(Secret("old"), 1000)))
OFF = User("off", (LiveSecret(Secret("s3cret")),), UserType.SUPER, UserStatus.DISABLE)
SNAPSHOT = Snapshot.of(Metadata((ALICE, OFF), ()))


def shown(user, secret, content=b"content"):
    return SignedCredentials(user, sign(Secret(secret), content) if secret else secret, content)


def refusal(credentials, now_ms=0):
    with pytest.raises(AuthenticationFailed) as caught:
        authenticate(credentials, SNAPSHOT, now_ms)
    assert str(caught.value) == caught.value.message
    return caught.value.reason, caught.value.message


def test_a_correct_signature_authenticates():
    assert authenticate(shown("alice", "s3cret"), SNAPSHOT, 5000) is ALICE
    assert authenticate(shown("alice", "old"), SNAPSHOT, 1000) is ALICE


@pytest.mark.parametrize(
    ("credentials", "reason", "message"),
    [
        (SignedCredentials(None, None, b""), "no-credentials", "username cannot be null."),
        (SignedCredentials("", "x", b""), "no-credentials", "username cannot be null."),
        (shown("nobody", "s3cret"), "unknown-user", "check signature failed."),
        (shown(" ", "s3cret"), "unknown-user", "check signature failed."),
        (shown("Alice", "s3cret"), "unknown-user", "check signature failed."),
        (shown("alice", "wrong"), "wrong-signature", "check signature failed."),
        (SignedCredentials("alice", None, b"content"), "no-signature", "check signature failed."),
        (SignedCredentials("alice", "", b"content"), "no-signature", "check signature failed."),
        (shown("off", "s3cret"), "disabled", "User:off is disabled."),
        (shown("off", "wrong"), "wrong-signature", "check signature failed."),
    ],
)
def test_failures_have_apaches_messages(credentials, reason, message):
    assert refusal(credentials) == (reason, message)


def test_an_expired_secret_is_rejected_with_a_reason_for_the_audit_log_only():
    assert refusal(shown("alice", "old"), 1001) == ("expired-secret", "check signature failed.")


def test_an_unknown_user_and_a_wrong_secret_get_the_same_message():
    assert refusal(shown("nobody", "x"))[1] == refusal(shown("alice", "x"))[1] == refusal(shown("off", "x"))[1]


def test_no_refusal_shows_a_secret():
    for credentials in (shown("alice", "wrong"), shown("off", "s3cret")):
        with pytest.raises(AuthenticationFailed) as caught:
            authenticate(credentials, SNAPSHOT, 0)
        assert "s3cret" not in f"{caught.value!r} {caught.value}"
        assert "s3cret" not in repr(SNAPSHOT.user("alice"))
