"""Limits of bodies, by request code and by authentication."""

import pytest

from mqguard.remoting.body_limits import MAX_MESSAGE, TABLE, anonymous_limits, authenticated_limits
from mqguard.remoting.codes import RequestCode


@pytest.mark.parametrize("code", RequestCode)
def test_every_code_has_limits_and_the_anonymous_one_is_not_higher(code: RequestCode) -> None:
    before, after = anonymous_limits(), authenticated_limits()
    assert before.unchecked <= before.body(code, is_response=False) <= after.body(code, is_response=False) <= 5 << 20


def test_only_messages_are_large_before_the_connection_has_authenticated() -> None:
    limits = anonymous_limits()
    large = {code for code in RequestCode if limits.body(code, is_response=False) > 256 * 1024}
    assert large == {10, 310, 320, 324, 325, RequestCode.REGISTER_BROKER, 3006, 3007}
    assert max(row.anonymous for row in TABLE.values()) == 1024 * 1024


def test_messages_follow_the_setting() -> None:
    assert MAX_MESSAGE < authenticated_limits().body(310, is_response=False) < MAX_MESSAGE + 100_000
    assert 12 << 20 < anonymous_limits(12 << 20).body(10, is_response=False) < (12 << 20) + 100_000


def test_unknown_codes_and_answers_are_small() -> None:
    before, after = anonymous_limits(), authenticated_limits()
    assert before.body(4711, is_response=False) == after.body(4711, is_response=False) == 4096
    assert (before.body(0, is_response=True), after.body(0, is_response=True)) == (4096, 4 << 20)


def test_headers_are_smaller_before_the_connection_has_authenticated() -> None:
    before, after = anonymous_limits(), authenticated_limits()
    assert (before.header, before.fields) == (65_536, 64)
    assert (after.header, after.fields) == (262_144, 256)
