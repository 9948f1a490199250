"""Display of texts that peers have chosen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model.text import visible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("orders", "orders"),
        ("größe 订单", "größe 订单"),
        ("a\nroot", "a\\nroot"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("a\u202etoor\u2028", "a\\u202etoor\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, seen):
    assert visible(text) == seen


@given(st.text(st.characters()))
def test_everything_can_be_seen(text):
    assert visible(text).isprintable()
