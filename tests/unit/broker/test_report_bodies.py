"""Pages of tables."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.broker.report_bodies import page_of


@given(st.lists(st.integers(), max_size=20), st.integers(1, 7))
def test_all_pages_together_are_the_whole_table(items, most):
    found: list[int] = []
    while True:
        page, total = page_of(items, len(found), most)
        assert len(page) <= most
        found += page
        if len(found) == total:
            break
    assert found == items


def test_a_request_without_a_page_gets_everything():
    for first, most in [(None, None), (0, None), (None, 5), (3, 0), (0, -1)]:
        assert page_of([1, 2, 3], first, most) == ([1, 2, 3], None)
    assert page_of([1, 2, 3], -5, 2) == ([1, 2], 3)
    assert page_of([1, 2, 3], 9, 2) == ([], 3)
