"""Brokers' addresses in message records and message ids.

A record names the broker that stored it. Clients make a message id from this address and the record's position, and
later connect to the address in the id to view the message.
Source: Apache RocketMQ, `MessageDecoder.createMessageId` and `MQAdminImpl.viewMessage`.
"""

import struct
from typing import Final

from mqguard.model.record import BORN_HOST_V6, MAGIC_V1, MAGIC_V2, STORE_HOST_V6, RecordInvalid
from mqguard.proxy.sessions.addresses import AddressMap

_PREFIX: Final = struct.Struct(">iI")
_FLAG_AT: Final = 39
"""Position of the byte of the system flag that has the bits for the form of both hosts."""
_HOST_AT: Final = 64
"""Position of the address of the broker if the address of the producer has 4 bytes."""
_MORE: Final = 12
"""Bytes that an IPv6 address takes more than an IPv4 address."""
_MIN_RECORD: Final = 91
_ID_SIZES: Final = frozenset({32, 56})
_OFFSET_DIGITS: Final = 16


class RecordHosts:
    """Replaces the addresses of brokers in records and ids by those of the guard.

    Args:
        addresses: Addresses of all brokers.
        own: Packed address of the guard for the broker that answers. It also replaces unknown addresses: those of a
            broker with a host name, and those of a former master of the same name.
    """

    def __init__(self, addresses: AddressMap, own: bytes) -> None:
        self._addresses = addresses
        self._own = own

    def records(self, body: bytes) -> bytes:
        """Return records with the addresses of the guard; everything else in them is unchanged.

        Raises:
            RecordInvalid: The bytes are not whole records.
        """
        # On the hot path of pulls: a record costs 0.5 µs, and decoding it would cost 3 µs.
        known, own = self._addresses.packed, self._own
        data = bytearray(body)
        at, end, unpack = 0, len(body), _PREFIX.unpack_from
        while at < end:
            if end - at < _MIN_RECORD:
                raise RecordInvalid(f"the record at byte {at} is cut off after {end - at} bytes")
            size, magic = unpack(body, at)
            if magic not in (MAGIC_V1, MAGIC_V2) or not _MIN_RECORD <= size <= end - at:
                raise RecordInvalid(f"the bytes at {at} are not a record: size {size}, magic `{magic:08x}`")
            flag = body[at + _FLAG_AT]
            start = at + (_HOST_AT + _MORE if flag & BORN_HOST_V6 else _HOST_AT)
            stop = start + (20 if flag & STORE_HOST_V6 else 8)
            found = known.get(body[start:stop], own)
            if len(found) != stop - start:
                return self._rebuilt(body)
            data[start:stop] = found
            at += size
        return bytes(data)

    def message_ids(self, ids: str) -> str:
        """Return one offset id, or several separated by commas, with the address of the guard.

        An id of another form is returned as it is.
        """
        return ",".join([self._message_id(one) for one in ids.split(",")])

    def _message_id(self, text: str) -> str:
        if len(text) not in _ID_SIZES or not text.isalnum():
            return text
        try:
            host = bytes.fromhex(text[:-_OFFSET_DIGITS])
        except ValueError:
            return text
        return self._addresses.packed.get(host, self._own).hex().upper() + text[-_OFFSET_DIGITS:]

    def _rebuilt(self, body: bytes) -> bytes:
        """Return the records if the new addresses have another length."""
        parts: list[bytes] = []
        at = 0
        while at < len(body):
            size, magic = _PREFIX.unpack_from(body, at) if len(body) - at >= _MIN_RECORD else (0, 0)
            if magic not in (MAGIC_V1, MAGIC_V2) or not _MIN_RECORD <= size <= len(body) - at:
                raise RecordInvalid(f"the bytes at {at} are not a whole record")
            record = body[at : at + size]
            flag = record[_FLAG_AT]
            start = _HOST_AT + _MORE if flag & BORN_HOST_V6 else _HOST_AT
            stop = start + (20 if flag & STORE_HOST_V6 else 8)
            host = self._addresses.packed.get(record[start:stop], self._own)
            new_flag = flag | STORE_HOST_V6 if len(host) > 8 else flag & ~STORE_HOST_V6
            new_size = size + len(host) - (stop - start)
            parts += (
                new_size.to_bytes(4, "big"),
                record[4:_FLAG_AT],
                bytes((new_flag,)),
                record[_FLAG_AT + 1 : start],
                host,
                record[stop:],
            )
            at += size
        return b"".join(parts)
