"""Bits of the system flag."""

from mqguard.model.record import (
    BORN_HOST_V6,
    COMPRESSED,
    TRANSACTION_COMMIT,
    TRANSACTION_PREPARED,
    TRANSACTION_ROLLBACK,
    transaction_type,
)


def test_the_transaction_bits_stand_alone():
    for bits in (0, TRANSACTION_PREPARED, TRANSACTION_COMMIT, TRANSACTION_ROLLBACK):
        assert transaction_type(bits | COMPRESSED | BORN_HOST_V6 | 0x300) == bits
