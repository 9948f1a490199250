"""Loads in which an answer decides the next request: transactions, and pops with acknowledgements of their messages.

The requests that follow an answer are signed while the load runs. So they are templates, in which only the fields that
an answer decides are filled in.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import struct
import time
from typing import Any

import load

END_TRANSACTION, POP, ACK = 37, 200050, 200051
COMMIT = "8"
PREPARED = "4"
INVISIBLE_MS = 60_000
BROKER = "broker-a"


class SignedTemplate:
    """A signed request without a body, some of whose fields change.

    Args:
        work: Load with the user that signs.
        code: The request code.
        fixed: Fields that stay the same.
        changing: Names of the fields that `fill` sets, in the order of its arguments.
    """

    def __init__(self, work: load.Load, code: int, fixed: dict[str, str], changing: tuple[str, ...]) -> None:
        self._secret = work.secret_key.encode()
        marks = {name: f"<{index}>" for index, name in enumerate(changing)}
        ext = {**fixed, **marks, "AccessKey": work.access_key}
        content = "".join(value for _, value in sorted(ext.items()))
        head = {"code": code, "extFields": ext | {"Signature": "<s>"}, "flag": 0, "language": "JAVA", "opaque": "<o>"}
        header = json.dumps(head | {"serializeTypeCurrentRPC": "JSON", "version": 453}, separators=(",", ":"))
        header = header.replace('"<o>"', "<o>")
        self._content = _split(content, list(marks.values()))
        self._header = _split(header, [*marks.values(), "<s>", "<o>"])

    def fill(self, opaque: int, *values: str) -> bytes:
        """Return a frame with these values, which need no escapes in JSON."""
        content = _join(self._content, values).encode()
        signature = base64.b64encode(hmac.digest(self._secret, content, hashlib.sha1)).decode()
        header = _join(self._header, (*values, signature, str(opaque))).encode()
        return struct.pack(">II", 4 + len(header), len(header)) + header


_Parts = list[str | int]


def _split(text: str, marks: list[str]) -> _Parts:
    """Return the text between marks, and the indices of the marks, in the order of the text."""
    parts: _Parts = []
    while found := [(text.find(mark), index) for index, mark in enumerate(marks) if mark in text]:
        at, index = min(found)
        parts += [text[:at], index]
        text = text[at + len(marks[index]) :]
    return [*parts, text]


def _join(parts: _Parts, values: tuple[str, ...]) -> str:
    return "".join(part if isinstance(part, str) else values[part] for part in parts)


class TransactionClient(load.Client):
    """A connection of a transactional producer: the answer to a half message triggers its commit.

    An outcome counts the answers to commits. Its latencies are from the half message to the answer to the commit.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first half messages."""
        fixed = {"producerGroup": "bench_pg", "commitOrRollback": COMMIT, "fromTransactionCheck": "false"}
        changing = ("commitLogOffset", "tranStateTableOffset", "transactionId", "msgId")
        self.template = SignedTemplate(self.load, END_TRANSACTION, fixed, changing)
        self.commits: dict[int, float] = {}
        super().connection_made(transport)

    def answered(self, header: dict[str, Any]) -> list[bytes]:
        """Commit after a half message, and begin another transaction after a commit."""
        number, code = header["opaque"] - load.FIRST, header["code"]
        started = self.commits.pop(number, None)
        if started is None:
            started = self.sent.pop(number)
            if code == 0:
                return [self.commit(header["extFields"], started)]
        self.count_answer(code, started)
        return self.next_request()

    def commit(self, half: dict[str, str], started: float) -> bytes:
        """Return the commit of a half message from the fields of its answer, as Java's producer sends it."""
        self.count += 1
        self.commits[self.count] = started
        unique_id = half.get("transactionId", "")
        physical_offset = str(int(half["msgId"][-16:], 16))
        return self.template.fill(load.FIRST + self.count, physical_offset, half["queueOffset"], unique_id, unique_id)


class PopClient(load.Client):
    """A connection of a consumer that pops messages, acknowledges each, and pops again after the last answer.

    An outcome counts the answers to acknowledgements, and pops without messages by their codes. Its latencies are from
    a pop to the answer to the last acknowledgement of its messages.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first pops."""
        pop, _ = self.load.requests[0]
        fixed = {"consumerGroup": pop["consumerGroup"], "topic": pop["topic"]}
        self.template = SignedTemplate(self.load, ACK, fixed, ("queueId", "extraInfo", "offset"))
        self.pop_template = SignedTemplate(self.load, POP, pop, ("bornTime",))
        self.acks: dict[int, list[float]] = {}
        super().connection_made(transport)

    def request(self, due: float) -> bytes:
        """Return a pop. Its time is part of the signature, because Apache's broker refuses pops that are too old."""
        self.count += 1
        self.sent[self.count] = due
        return self.pop_template.fill(load.FIRST + self.count, str(int(time.time() * 1000)))

    def answered(self, header: dict[str, Any]) -> list[bytes]:
        """Acknowledge the messages of a pop, and pop again after the last of them."""
        number, code = header["opaque"] - load.FIRST, header["code"]
        pending = self.acks.pop(number, None)
        if pending is not None:
            pending.pop()
            self.count_answer(code, None if len(pending) > 1 else pending[0])
            return [] if len(pending) > 1 else self.next_request()
        started = self.sent.pop(number)
        if code == 0:
            return self.acknowledge(header["extFields"], started)
        self.count_answer(code, started)
        return self.next_request()

    def acknowledge(self, answer: dict[str, str], started: float) -> list[bytes]:
        """Return the acknowledgements of all messages of a pop, each with its handle, as Java's consumer sends them."""
        firsts = {(mark, queue): first for mark, queue, first in fields_of(answer["startOffsetInfo"])}
        common = f"{answer['popTime']} {answer['invisibleTime']} {answer['reviveQid']}"
        pending = [started]  # one more element for each acknowledgement without an answer
        frames = []
        for mark, queue, offsets in fields_of(answer["msgOffsetInfo"]):
            for offset in offsets.split(","):
                self.count += 1
                self.acks[self.count] = pending
                pending.append(started)
                handle = f"{firsts[mark, queue]} {common} {mark} {BROKER} {queue} {offset}"
                frames.append(self.template.fill(load.FIRST + self.count, queue, handle, offset))
        return frames


def fields_of(info: str) -> list[tuple[str, str, str]]:
    """Return mark, queue and value of each part of `startOffsetInfo` or `msgOffsetInfo`."""
    parts = (part.split(" ") for part in info.split(";"))
    return [(mark, queue, value) for mark, queue, value in parts]


def half_messages(topic: str) -> list[load.Request]:
    """Return half messages of 1 KB, one for each queue."""
    requests = load.sends(topic)
    for ext, _ in requests:
        ext["f"] = PREPARED
        ext["i"] += "TRAN_MSG\x01true\x02PGROUP\x01bench_pg\x02"
    return requests


def pops(topic: str, group: str, count: int = 32) -> list[load.Request]:
    """Return a pop from all queues that does not wait, for a group that begins with the first message."""
    ext = {"consumerGroup": group, "topic": topic, "queueId": "-1", "maxMsgNums": str(count), "initMode": "0"}
    ext |= {"invisibleTime": str(INVISIBLE_MS), "pollTime": "0", "expType": "TAG", "exp": "*", "order": "false"}
    return [(ext, b"")]
