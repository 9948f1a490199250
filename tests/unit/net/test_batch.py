from hypothesis import given
from hypothesis import strategies as st

from mqguard.net.scheduler import BATCH, SLOW_FRAME_S, SMALL_ANSWER, smaller_batch


@given(st.integers(1, 16), st.integers(0, SMALL_ANSWER), st.floats(0, SLOW_FRAME_S))
def test_batches_of_quick_frames_with_small_answers_are_whole(count, size, seconds):
    assert smaller_batch(count, size, seconds) == count


@given(st.integers(1, 16), st.integers(0, 1 << 30), st.floats(0, 60))
def test_a_batch_has_a_frame_and_is_bounded_in_time_and_answers(count, size, seconds):
    found = smaller_batch(count, size, seconds)
    assert 1 <= found <= count
    assert found == 1 or (found * size <= max(512 * 1024, BATCH[0] * SMALL_ANSWER))
    assert found == 1 or seconds <= SLOW_FRAME_S or found * seconds <= 0.002
