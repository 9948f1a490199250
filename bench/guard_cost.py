#!/usr/bin/env python3
"""Measure the cost of the whole guard for one send of 1 KB: authenticate, authorize, audit.

Usage: `.venv/bin/python bench/guard_cost.py [full|summary|off]`, on a quiet machine. The word is `auditAdmissions`.

The output is one JSON object with CPU microseconds per request. One figure is for the thread that serves requests.
The other is for the whole process with the audit writer, which formats lines and writes them to files. The best of
several runs counts, because other programs on the machine can only add time. `bytes_per_1000_sends` is the size of
the audit files, for sends of one user to one topic.
"""

import json
import secrets
import sys
import tempfile
import time
from pathlib import Path

from mqguard.auth.authentication import sign
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.user import Secret, Subject
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.guard.admission_groups import AdmissionMode
from mqguard.guard.audit import AuditTrail, Stream
from mqguard.guard.audit_format import StreamLines
from mqguard.guard.guard import Guard
from mqguard.guard.ports import GuardPorts
from mqguard.guard.settings import GuardSettings
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import signed_content
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.telemetry.audit_files import RotatingFile
from mqguard.telemetry.audit_writer import AuditWriter

ROUNDS = 7
ITERATION = 128
"""Sends in one iteration of the event loop; at its end the lines of the audit log are formatted."""
SENDS = 20_000
BODY = 1024
KEY = "a secret of usual length"


class SystemClock:
    """Clock with the time of day."""

    def now_ms(self) -> int:
        """Return the milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return the monotonic time in milliseconds."""
        return time.monotonic_ns() // 1_000_000


def users() -> MetadataManager:
    """Return the users: one that may send to some topics."""
    manager = MetadataManager(MemoryMetadataStore())
    manager.create_user("alice", KEY)
    entry = Entry(Resource.parse("Topic:orders*"), (Action.PUB,), (), Decision.ALLOW)
    manager.create_acl(Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, (entry,)),)))
    return manager


def send(number: int) -> Command:
    """Return a signed send like that of the Java client, with a different body for each number."""
    body = number.to_bytes(4, "big") + b"x" * (BODY - 4)
    ext = {
        "a": "producers", "b": "orders", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1700000000000", "h": "0",
        "i": "KEYS\x01k1\x02UNIQ_KEY\x017F00000100012A139A5516A6B2F30000\x02WAIT\x01true\x02TAGS\x01TagA\x02",
        "j": "0", "k": "false", "m": "false", "n": "broker-a", "AccessKey": "alice",
    }  # fmt: skip
    ext["Signature"] = sign(Secret(KEY), signed_content(ext, body, 513))
    return Command(310, version=513, ext=ext, body=body)


def measure(admission: RemotingAdmission, writer: AuditWriter) -> tuple[float, float]:
    """Return CPU microseconds per send: of the admission, and of the process until the audit lines are written."""
    peer = Peer("10.1.2.3", 40_000, Channel("channel-1"))
    sends = [send(number) for number in range(256)]
    thread, process, lines = time.thread_time(), time.process_time(), 0.0
    for number in range(SENDS):
        admission.admit(sends[number & 255], peer)
        if number % ITERATION == 0:
            spent = time.thread_time()
            writer.end_iteration()
            lines += time.thread_time() - spent
    writer.end_iteration()
    thread = time.thread_time() - thread - lines
    while writer.waiting:
        time.sleep(0.001)
    return thread / SENDS * 1e6, (time.process_time() - process) / SENDS * 1e6


def main() -> None:
    """Measure and print."""
    mode = AdmissionMode(sys.argv[1] if len(sys.argv) > 1 else "full")
    with tempfile.TemporaryDirectory() as directory:
        names = [f"{name}.{stream}" for stream in Stream for name in ("auth_audit.log", "audit.jsonl")]
        files = [RotatingFile(Path(directory) / name, 1 << 30, 1) for name in names]
        clock = SystemClock()
        writer = AuditWriter(files, StreamLines(), clock.now_ms)
        writer.start()
        trail = AuditTrail(writer, mode)
        guard = Guard(
            GuardSettings(authentication_enabled=True, authorization_enabled=True),
            GuardPorts(
                metadata=users(),
                clock=clock,
                ticks=time.perf_counter_ns,
                new_id=lambda: secrets.token_hex(6),
                audit=trail,
            ),
        )
        admission = RemotingAdmission(guard, "DefaultCluster")
        rounds = [measure(admission, writer) for _ in range(ROUNDS)]
        trail.close(clock.now_ms())
        writer.close()
        size = sum(path.stat().st_size for path in Path(directory).iterdir())
    print(
        json.dumps(
            {
                "admissions": mode.value,
                "body_bytes": BODY,
                "guard_us": round(min(thread for thread, _ in rounds), 2),
                "with_audit_writer_us": round(min(process for _, process in rounds), 2),
                "bytes_per_1000_sends": round(size * 1000 / (SENDS * ROUNDS)),
                "records_dropped": writer.dropped,
            }
        )
    )


if __name__ == "__main__":
    main()
