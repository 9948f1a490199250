"""Bits of the system flag."""

from mqguard.model import sysflag


def test_the_transaction_bits_stand_alone():
    for bits in (0, sysflag.TRANSACTION_PREPARED, sysflag.TRANSACTION_COMMIT, sysflag.TRANSACTION_ROLLBACK):
        assert sysflag.transaction_type(bits | sysflag.COMPRESSED | sysflag.BORN_HOST_V6 | 0x300) == bits
