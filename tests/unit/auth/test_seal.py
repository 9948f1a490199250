import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.seal import PREFIX, SealingKey, SealInvalid, is_sealed
from mqguard.auth.user import Secret

KEY = SealingKey(bytes(range(32)))
OTHER = SealingKey(bytes(32))
NONCE = bytes(12)
# User, secret, sealed with twelve zero bytes, sealed deterministically. Stored forms must open for ever.
VECTORS = [
    (
        "alice",
        "s3cret",
        "mqguard:sealed:1:d7e2bc0a:AAAAAAAAAAAAAAAAfY_WrNBYoqmoWNbimAaDFM8kq2h5Xw==",
        "mqguard:sealed:1:d7e2bc0a:S6wszz9P05VmTGTshMhN0pjv2JuFFQR8ZB8ky2Dt8XPtFg==",
    ),
    (
        "主题",
        "sécret",
        "mqguard:sealed:1:d7e2bc0a:AAAAAAAAAAAAAAAAfX8cvcdJ9_jXDoSk7LKsdEyPUgxJykI=",
        "mqguard:sealed:1:d7e2bc0a:SCqsheuwbf09WAfvyPSnOGt-2A8TS7H7qvuQ2ySBF4MbMVk=",
    ),
    (
        "\ud800",
        "\udfff",
        "mqguard:sealed:1:d7e2bc0a:AAAAAAAAAAAAAAAA4wMKFYC_e9Bn0HIvOdPjUWJEEQ==",
        "mqguard:sealed:1:d7e2bc0a:IgvHZstFBD9WGLp4ultbVUaQilI8pw9CWuAUpOccOw==",
    ),
]


@pytest.mark.parametrize(("user", "secret", "sealed", "steady"), VECTORS)
def test_the_sealed_form_does_not_change(user, secret, sealed, steady):
    assert KEY.seal(user, Secret(secret), NONCE) == sealed
    assert KEY.seal_deterministic(user, Secret(secret)) == steady
    assert KEY.open(user, sealed).reveal() == KEY.open(user, steady).reveal() == secret


@pytest.mark.parametrize("other", ["k=", "kI", "kI=\n", "kI==", "k I=", "kI=A", "k!I="])
def test_another_way_to_write_the_same_bytes_is_refused(other):
    sealed = VECTORS[1][2]
    with pytest.raises(SealInvalid, match="is damaged"):
        KEY.open("主题", sealed.removesuffix("kI=") + other)
    with pytest.raises(SealInvalid, match="is damaged"):
        KEY.open("主题", sealed.removesuffix("kI=") + "kJ=")


@given(st.text(), st.text(min_size=1), st.binary(min_size=12, max_size=12))
def test_a_sealed_secret_can_be_opened(user, secret, nonce):
    sealed = KEY.seal(user, Secret(secret), nonce)
    assert KEY.open(user, sealed) == Secret(secret)
    assert is_sealed(sealed)
    assert sealed.isascii()
    assert secret not in sealed.removeprefix(PREFIX + KEY.id) or len(secret) < 4


def test_another_guard_with_the_same_key_opens_it():
    sealed = KEY.seal("alice", Secret("s3cret"), NONCE)
    assert SealingKey(bytes(range(32))).open("alice", sealed).reveal() == "s3cret"


def test_another_nonce_gives_another_form():
    assert KEY.seal("a", Secret("s"), NONCE) != KEY.seal("a", Secret("s"), b"x" * 12)


def test_it_is_bound_to_its_user():
    with pytest.raises(SealInvalid, match="another user"):
        KEY.open("bob", KEY.seal("alice", Secret("s3cret"), NONCE))


def test_another_key_is_named_as_the_reason():
    with pytest.raises(SealInvalid, match=f"sealed with the key `{KEY.id}`, but the loaded key is `{OTHER.id}`"):
        OTHER.open("alice", KEY.seal("alice", Secret("s3cret"), NONCE))


@given(st.data())
def test_any_changed_byte_is_noticed(data):
    sealed = KEY.seal("alice", Secret("s3cret"), NONCE)
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:place] + data.draw(st.characters(codec="utf-8")) + sealed[place + 1 :]
    if changed != sealed:
        with pytest.raises(SealInvalid) as caught:
            KEY.open("alice", changed)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("body", ["", "A", "AAAA", "AAAAAAAAAAAAAAAA", "é", "A" * 60, "!!!!"])
def test_other_texts_are_rejected(body):
    with pytest.raises(SealInvalid):
        KEY.open("alice", f"{PREFIX}{KEY.id}:{body}")


@pytest.mark.parametrize("text", ["", "s3cret", "mqguard:sealed:2:x:y", "mqguard:sealed:"])
def test_other_versions_are_not_accepted(text):
    with pytest.raises(SealInvalid):
        KEY.open("alice", text)
    assert is_sealed(text) == text.startswith("mqguard:sealed:")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_its_length(length):
    with pytest.raises(SealInvalid, match="must have 32"):
        SealingKey(bytes(length))


@pytest.mark.parametrize("length", [0, 11, 13])
def test_a_nonce_has_its_length(length):
    with pytest.raises(SealInvalid, match="must have 12"):
        KEY.seal("alice", Secret("s"), bytes(length))


def test_the_key_is_never_shown():
    assert repr(KEY) == f"SealingKey(id={KEY.id!r})"
    assert bytes(range(32)).hex() not in repr(vars(type(KEY)))
    with pytest.raises(PolicyInvalid):
        Secret("")


def test_a_deterministic_seal_differs_only_by_user_secret_and_key():
    key, other = SealingKey(bytes(32)), SealingKey(bytes([1]) * 32)
    sealed = key.seal_deterministic("alice", Secret("s"))
    assert sealed == key.seal_deterministic("alice", Secret("s"))
    assert key.open("alice", sealed).reveal() == "s"
    different = {
        sealed,
        key.seal_deterministic("alice", Secret("t")),
        key.seal_deterministic("bob", Secret("s")),
        other.seal_deterministic("alice", Secret("s")),
    }
    assert len({text.split(":")[-1][:16] for text in different}) == 4
    assert key.made(sealed)
    assert not other.made(sealed)
