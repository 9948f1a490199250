import base64
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqguard.auth.authentication import _DECOYS, Match, match, sign
from mqguard.auth.user import LiveSecret, Secret, User

PROPERTIES = "KEYS\x01k1\x02TAGS\x01TagA\x02"
# Secret, signed content, signature: made by the Java client, or by Python from the same description.
VECTORS = {
    "R0": ("12345678", b"RocketMQ", "IUc8rrO/0gDch8CjObLQsW2rsiA="),
    "R0b": ("test", b"test", "DJRRXBXlCVuKh6ULoN87847QX+Y="),
    "R1": (
        "12345678",
        b'rocketmq2alice{"password":"Al1ce-Pw","userType":"Normal","username":"alice"}',
        "fhsozVk+WplI64XhD22L53LnHEA=",
    ),
    "R2": (
        "12345678",
        f"rocketmq2PID_demoTopicTestTBW10240017000000000000{PROPERTIES}0falsefalsebroker-aHello RocketMQ".encode(),
        "Zuh+sfQrsaDu3fwBVHwugHK1P5s=",
    ),
    "R3": ("sécret", "user-ésts-token-1broker-a3主题A".encode(), "SafbubhcZqZezX0d25icq3zk/tE="),
    "R4": ("12345678", b"rocketmq2", "Ou1T58RIcyZWaTIwzkhJZWn/Zvs="),
    "R5": ("12345678", b"rocketmq2alice", "2nwHoG3adnMe0SLI+qirmlsZ5V4="),
    "G1": ("12345678", b"20240102T030405Z", "AYPsbpvwdTykQCrLMF+OOdIiRY8="),
    "G2": ("abc", b"20231227T194619Z", "0YqcvN26kEHWaTJo/vFamJ5kQws="),
}


def accepts(user, content, signature, now_ms):
    """Return True if the signature was made with one of the user's live secrets."""
    return match(user, content, signature, now_ms) is Match.RIGHT


def user(*secrets):
    return User("alice", tuple(LiveSecret(Secret(text), not_after) for text, not_after in secrets))


@pytest.mark.parametrize("name", VECTORS)
def test_known_signatures_are_created_and_accepted(name):
    secret, content, signed = VECTORS[name]
    assert sign(Secret(secret), content) == signed
    assert accepts(user((secret, None)), content, signed, 0)


@given(st.text(min_size=1), st.binary(), st.binary(), st.text(min_size=1))
def test_a_signature_is_accepted_only_for_its_secret_and_content(secret, content, other, other_secret):
    signed = sign(Secret(secret), content)
    assert accepts(user((secret, None)), content, signed, 0)
    assert accepts(user((secret, None)), other, signed, 0) == (other == content)
    if other_secret != secret and len(other_secret.encode("utf-8", "surrogatepass")) < 64:
        # Keys of less than a block differ in HMAC unless they differ by zero bytes at the end alone.
        same = other_secret.rstrip("\0") == secret.rstrip("\0")
        assert accepts(user((other_secret, None)), content, signed, 0) == same


@pytest.mark.parametrize("presented", ["", "x", "é", "\ud800", "=" * 5000, "iuc8RRo/0gdCH8cJobLqSw2RSIa="])
def test_other_texts_are_wrong_signatures(presented):
    assert match(user(("12345678", None)), b"RocketMQ", presented, 0) is Match.WRONG


def test_the_text_is_compared_not_its_decoded_bytes():
    signed = sign(Secret("12345678"), b"RocketMQ")
    for other in (signed.rstrip("="), signed + "\n", " " + signed, signed.replace("+", "-").replace("/", "_")):
        assert not accepts(user(("12345678", None)), b"RocketMQ", other, 0)


@pytest.mark.parametrize("who", [None, user(("s", None)), User("empty", ())])
def test_an_unknown_user_is_never_accepted(who):
    for secret in _DECOYS:
        assert match(who, b"x", sign(secret, b"x"), 0) is Match.WRONG


def test_both_secrets_are_live_until_the_old_one_ends():
    rotating = user(("new", None), ("old", 1000))
    assert accepts(rotating, b"x", sign(Secret("new"), b"x"), 5000)
    assert accepts(rotating, b"x", sign(Secret("old"), b"x"), 1000)
    assert match(rotating, b"x", sign(Secret("old"), b"x"), 1001) is Match.EXPIRED
    assert not accepts(rotating, b"x", sign(Secret("old"), b"x"), 1001)
    assert match(user(("only", 10)), b"x", sign(Secret("only"), b"x"), 11) is Match.EXPIRED


def test_a_third_secret_is_ignored():
    assert not accepts(user(("a", None), ("b", None), ("c", None)), b"x", sign(Secret("c"), b"x"), 0)


@pytest.mark.parametrize("who", [None, User("empty", ()), user(("a", None)), user(("a", None), ("b", None))])
def test_every_rejection_compares_as_many_signatures(who, monkeypatch):
    compared = []
    compare = hmac.compare_digest

    def counting(one, other):
        compared.append(len(one))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert not accepts(who, b"content", "wrong", 0)
    assert compared == [28, 28]


@given(st.text(min_size=1, max_size=200), st.binary(max_size=200))
@example("\ud800", b"")
def test_the_prepared_hmac_is_the_hmac(secret, content):
    key = secret.encode("utf-8", "surrogatepass")
    assert base64.b64decode(sign(Secret(secret), content)) == hmac.digest(key, content, "sha1")


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128])
def test_keys_around_a_block_follow_hmac(length):
    assert base64.b64decode(sign(Secret("k" * length), b"x")) == hmac.digest(b"k" * length, b"x", "sha1")
