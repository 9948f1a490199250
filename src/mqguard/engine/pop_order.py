"""Pop in order: a group gets the messages of a queue one batch at a time.

A batch blocks its queue for the group until all of its messages are acknowledged, or visible again. Then the first
message that is not acknowledged comes again, and all later ones of the batch after it, in place and before newer ones.
So an acknowledgement takes effect once all earlier messages are acknowledged. An acknowledged message after a failed
one comes again, because it was consumed in the wrong order. The broker never moves messages in order to another topic:
how often a message may fail, the consumer decides. Apache's broker does the same.

Source: Apache `ConsumerOrderInfoManager`.
"""

import msgspec

from mqguard.engine.pop_in_flight import Delivery, PopQueue


def is_blocked(queue: PopQueue, attempt_id: str, now: int) -> bool:
    """Return True if a queue has no message for a pop in order at a monotonic time.

    A pop with the identifier of the last one gets the same messages again: its client did not receive them.
    """
    if is_same_attempt(queue, attempt_id):
        return False
    return any(delivery.deadline > now and not delivery.is_acknowledged for delivery in queue.ordered.values())


def acknowledged(queue: PopQueue, offset: int) -> list[int]:
    """Return the offsets of the messages whose acknowledgement takes effect with that of a message in order.

    They are the message and the acknowledged ones that follow it. There are none if an earlier message is in flight.
    """
    offsets: list[int] = []
    for other, delivery in queue.ordered.items():
        if other != offset and not delivery.is_acknowledged:
            break
        offsets.append(other)
    return offsets if offset in offsets else []


def is_same_attempt(queue: PopQueue, attempt_id: str) -> bool:
    """Return True if a pop has the identifier of the last one of the queue."""
    return bool(attempt_id) and attempt_id == queue.attempt_id


def next_pop_time(queue: PopQueue, pop_time: int) -> int:
    """Return the smallest pop time that differs from those of all earlier deliveries that would be replaced."""
    return max(pop_time, *(delivery.pop_time + 1 for delivery in queue.ordered.values()))


def delivered_again(old: Delivery, new: Delivery, *, is_same: bool) -> Delivery:
    """Return the next delivery of a message.

    Args:
        old: The delivery before.
        new: Delivery of a message that was not in flight.
        is_same: True if the pop repeats an attempt, which does not count as another one.
    """
    attempts = old.attempts if is_same or old.is_suspended else old.attempts + 1
    return msgspec.structs.replace(new, attempts=attempts)


def left_for_later(old: Delivery, now: int) -> Delivery:
    """Return the delivery of an acknowledged message that comes again after the batch of an earlier message.

    Args:
        old: The delivery before.
        now: Current monotonic time. The message is visible from then on.
    """
    return msgspec.structs.replace(old, deadline=now, is_acknowledged=False)
