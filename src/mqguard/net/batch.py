"""Sizes of the batches of frames that a connection decodes and serves before it looks at the time."""

from typing import Final

BATCH: Final = (16, 32 * 1024)
"""Frames and bytes of a batch of a connection that has authenticated."""
ANONYMOUS_BATCH: Final = (4, 8 * 1024)
"""Frames and bytes of a batch of any other connection."""
FIRST_FRAMES: Final = 2
"""Frames of a new connection that are served before others: then it has authenticated, or waits with the rest."""
SMALL_ANSWER: Final = 16 * 1024
"""Bytes of an answer up to which batches are whole."""
SLOW_FRAME_S: Final = 0.000_5
"""Seconds that a frame takes up to which batches are whole."""
_ANSWERS: Final = 512 * 1024
_SECONDS: Final = 0.002


def smaller_batch(count: int, answer_size: int, frame_s: float) -> int:
    """Return how many frames a batch has, if those of the batch before are a guide.

    Args:
        count: Frames of a whole batch.
        answer_size: Mean size of their answers in bytes: the peer may not read them.
        frame_s: Mean time of a frame in seconds: others wait meanwhile.
    """
    if answer_size > SMALL_ANSWER:
        count = min(count, _ANSWERS // answer_size)
    if frame_s > SLOW_FRAME_S:
        count = min(count, int(_SECONDS / frame_s))
    return max(1, count)
