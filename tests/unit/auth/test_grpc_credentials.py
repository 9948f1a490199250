import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqguard.auth.authentication import AUTHORIZATION, DATE_TIME, Credentials, is_fresh, read_grpc_credentials
from mqguard.auth.errors import AuthenticationFailed

G1 = "MQv2-HMAC-SHA1 Credential=rocketmq2, SignedHeaders=x-mq-date-time, Signature=0183EC6E9BF0753CA4402ACB305F8E39D222458F"
WHEN = "20240102T030405Z"
WHEN_MS = 1_704_164_645_000
HOUR_MS = 3_600_000
ZONES_MS = [quarters * HOUR_MS // 4 for quarters in range(-14 * 4, 14 * 4 + 1)]


def test_the_headers_have_the_names_that_clients_send():
    assert (AUTHORIZATION, DATE_TIME) == ("authorization", "x-mq-date-time")


def test_the_header_of_a_java_client_is_read():
    assert read_grpc_credentials(G1, WHEN) == Credentials(
        "rocketmq2", "AYPsbpvwdTykQCrLMF+OOdIiRY8=", b"20240102T030405Z"
    )


@pytest.mark.parametrize(
    ("credential", "user"),
    [
        ("ak", "ak"),
        ("ak//Rocketmq", "ak"),
        ("ak/region/RocketMQ", "ak"),
        ("", ""),
        ("/x", ""),
        (" a", " a"),
        ("a=b", "a=b"),
        ("X/", "X"),
        ("X", "X"),
    ],
)
def test_the_user_is_what_stands_before_the_first_slash(credential, user):
    assert read_grpc_credentials(f"x Credential={credential},Signature=00", WHEN).user == user


def test_hex_is_read_in_any_letter_case_and_the_last_of_repeated_items_counts():
    assert read_grpc_credentials("x Credential=a,Credential=b,Signature=00,Signature=aBcD", WHEN) == Credentials(
        "b", "q80=", WHEN.encode()
    )


def test_empty_items_at_the_end_are_left_out():
    assert read_grpc_credentials("x Credential=a,Signature=00,,", WHEN) == Credentials("a", "AA==", WHEN.encode())
    assert read_grpc_credentials("x ,", WHEN) == Credentials(None, None, WHEN.encode())


@pytest.mark.parametrize("authorization", [None, ""])
def test_a_call_without_authorization_claims_nobody(authorization):
    assert read_grpc_credentials(authorization, None) == Credentials(None, None, b"")


@pytest.mark.parametrize(
    ("authorization", "date_time", "message"),
    [
        (G1, None, "datetime is null."),
        (G1, "", "datetime is null."),
        ("MQv2-HMAC-SHA1", WHEN, "authentication header is incorrect."),
        ("x ", WHEN, "authentication keyValues length is incorrect, actual length=1."),
        ("x a", WHEN, "authentication keyValues length is incorrect, actual length=1."),
        ("x Credential=a,,Signature=00", WHEN, "authentication keyValues length is incorrect, actual length=1."),
        ("x Credential=//", WHEN, "authentication credential length is incorrect, actual length=0."),
        ("x Signature=0x00", WHEN, "create authentication context error."),
        ("x Signature=000", WHEN, "create authentication context error."),
        ("x Signature=00 00", WHEN, "create authentication context error."),
        ("x Signature=\u0660\u0660", WHEN, "create authentication context error."),
    ],
)
def test_a_malformed_header_is_refused_in_apaches_words(authorization, date_time, message):
    with pytest.raises(AuthenticationFailed) as caught:
        read_grpc_credentials(authorization, date_time)
    assert (caught.value.reason, caught.value.message) == ("malformed-credentials", message)


@given(st.text(), st.text())
def test_any_text_gives_credentials_or_the_documented_error(authorization, date_time):
    with contextlib.suppress(AuthenticationFailed):
        assert isinstance(read_grpc_credentials(authorization, date_time), Credentials)


def test_what_is_signed_is_signed_whatever_it_holds():
    assert read_grpc_credentials(G1, "2024\ud800").content == b"2024\xed\xa0\x80"


@given(st.integers(-15 * HOUR_MS, 15 * HOUR_MS), st.integers(0, HOUR_MS // 8))
@example(14 * HOUR_MS + HOUR_MS // 8, HOUR_MS // 8)
@example(14 * HOUR_MS + HOUR_MS // 8 + 1, HOUR_MS // 8)
@example(-14 * HOUR_MS - HOUR_MS // 8 - 1, HOUR_MS // 8)
def test_a_time_without_an_offset_is_fresh_when_some_zone_makes_it_so(apart_ms, window_ms):
    some = any(abs(apart_ms - zone_ms) <= window_ms for zone_ms in ZONES_MS)
    assert is_fresh(WHEN, WHEN_MS + apart_ms, window_ms) is some
    assert is_fresh("2024-01-02T03:04:05", WHEN_MS + apart_ms, window_ms) is some


@pytest.mark.parametrize("zone_hours", [-12, -3.5, 0, 1, 5.75, 8, 14])
def test_local_time_that_calls_itself_utc_is_fresh_in_any_zone(zone_hours):
    now = WHEN_MS + int(zone_hours * HOUR_MS)
    assert is_fresh(WHEN, now, 60_000)
    assert is_fresh(WHEN, now + 59_000, 60_000)
    assert is_fresh(WHEN, now + 60_000, 60_000)
    assert not is_fresh(WHEN, now + 60_001, 60_000)
    assert not is_fresh(WHEN, now + 61_000, 60_000)
    assert not is_fresh(WHEN, now - 61_000, 60_000)


@pytest.mark.parametrize("hours", [-14.25, 14.25, -14.5, 14.5, 24, 1000])
def test_what_no_zone_makes_fresh_is_old(hours):
    assert not is_fresh(WHEN, WHEN_MS + int(hours * HOUR_MS), 60_000)


@pytest.mark.parametrize(
    "text", ["2024-01-02T03:04:05.123456789+00:00", "2024-01-02T11:04:05.123+08:00", "2024-01-02T03:04:05Z"]
)
def test_an_offset_is_believed(text):
    assert is_fresh(text, WHEN_MS, 1000)
    assert not is_fresh(text, WHEN_MS + HOUR_MS, 60_000)


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "99999999T999999Z", "1970", "\uff12\uff10240102T030405Z", "\ud800", "9" * 5000],
)
def test_what_is_no_time_is_not_fresh(text):
    assert not is_fresh(text, WHEN_MS, 10**15 if text == "" else 60_000)
