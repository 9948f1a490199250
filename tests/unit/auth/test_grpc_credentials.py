import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.authentication import AUTHORIZATION, DATE_TIME, SignedCredentials, read_grpc_credentials
from mqguard.auth.errors import AuthenticationFailed

G1 = "MQv2-HMAC-SHA1 Credential=rocketmq2, SignedHeaders=x-mq-date-time, Signature=0183EC6E9BF0753CA4402ACB305F8E39D222458F"
WHEN = "20240102T030405Z"


def test_the_headers_have_the_names_that_clients_send():
    assert (AUTHORIZATION, DATE_TIME) == ("authorization", "x-mq-date-time")


def test_the_header_of_a_java_client_is_read():
    assert read_grpc_credentials(G1, WHEN) == SignedCredentials(
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
def test_the_user_is_the_text_before_the_first_slash(credential, user):
    assert read_grpc_credentials(f"x Credential={credential},Signature=00", WHEN).user == user


def test_hex_is_read_in_any_letter_case_and_the_last_of_repeated_items_counts():
    assert read_grpc_credentials("x Credential=a,Credential=b,Signature=00,Signature=aBcD", WHEN) == SignedCredentials(
        "b", "q80=", WHEN.encode()
    )


def test_empty_items_at_the_end_are_left_out():
    assert read_grpc_credentials("x Credential=a,Signature=00,,", WHEN) == SignedCredentials("a", "AA==", WHEN.encode())
    assert read_grpc_credentials("x ,", WHEN) == SignedCredentials(None, None, WHEN.encode())


@pytest.mark.parametrize("authorization", [None, ""])
def test_a_call_without_authorization_claims_no_user(authorization):
    assert read_grpc_credentials(authorization, None) == SignedCredentials(None, None, b"")


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
def test_a_malformed_header_has_apaches_message(authorization, date_time, message):
    with pytest.raises(AuthenticationFailed) as caught:
        read_grpc_credentials(authorization, date_time)
    assert (caught.value.reason, caught.value.message) == ("malformed-credentials", message)


@given(st.text(), st.text())
def test_any_text_gives_credentials_or_the_documented_error(authorization, date_time):
    with contextlib.suppress(AuthenticationFailed):
        assert isinstance(read_grpc_credentials(authorization, date_time), SignedCredentials)


def test_any_signed_content_is_kept():
    assert read_grpc_credentials(G1, "2024\ud800").content == b"2024\xed\xa0\x80"
