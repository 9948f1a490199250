"""Signed content: the vectors of the reference, and the recorded ones."""

import base64
import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from mqguard.remoting.signed_content import signed_content

RECORDED = Path(__file__).parents[2] / "vectors" / "signatures.jsonl.gz"


@pytest.mark.parametrize(
    ("ext", "body", "content"),
    [
        ({"username": "alice", "AccessKey": "rocketmq2", "Signature": "x"}, b"{}", "rocketmq2alice{}"),
        ({"AccessKey": "rocketmq2"}, b"", "rocketmq2"),
        ({}, b"body", "body"),
        ({"Signature": "x"}, b"", ""),
        ({"topic": "主题A", "queueId": "3", "bname": "broker-a", "AccessKey": "user-é", "SecurityToken": "sts-token-1"},
         b"", "user-ésts-token-1broker-a3主题A"),
        ({"AccessKey": "abc", "bname": "brokerName-1", "bornTimestamp": "117036786441330", "queueId": "0",
          "topic": "topic-test", "Signature": "s"}, b"", "abcbrokerName-11170367864413300topic-test"),
        ({"\uffff": "2", "\U0001f600": "1"}, b"", "12"),
    ],
)  # fmt: skip
def test_the_content_is_javas(ext: dict[str, str], body: bytes, content: str) -> None:
    assert signed_content(ext, body, 513) == content.encode()


@pytest.mark.parametrize(("version", "content"), [(0, b"abz"), (399, b"abz"), (400, b"atruebz"), (513, b"atruebz")])
def test_old_clients_leave_out_the_unique_key_query(version: int, content: bytes) -> None:
    ext = {"AccessKey": "a", "_UNIQUE_KEY_QUERY": "true", "b": "b"}
    assert signed_content(ext, b"z", version) == content


def test_many_names_are_not_cached() -> None:
    ext = {f"name-{n:04}": str(n % 10) for n in range(500)}
    assert signed_content(ext, b"", 513) == b"0123456789" * 50


def test_it_agrees_with_every_recorded_signature() -> None:
    compared = 0
    for line in gzip.decompress(RECORDED.read_bytes()).splitlines():
        case = json.loads(line)
        made = {"client": "out", "remoting": "context"}.get(case["what"])
        result = case[made] if made else None
        if not result or result.get("content") is None:
            continue
        ext = (result if made == "out" else case)["ext"] or {}
        if None in ext.values():
            continue  # a null never gets past our frame reader
        body = base64.b64decode(case["body"]) if case["body"] else b""
        version = 513 if made == "out" else case["version"]
        assert signed_content(ext, body, version) == base64.b64decode(result["content"]), case
        compared += 1
    assert compared > 600


@pytest.mark.parametrize("version", [399, 513])
def test_the_cache_of_field_names_is_bounded(version: int) -> None:
    def traced(count: int, name: str) -> int:
        tracemalloc.start()
        try:
            for number in range(count):
                signed_content({f"{number:x}{name}": "v", "b": "w"}, b"", version)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert traced(20_000, "short") < 512 * 1024
    assert traced(1_000, "long" * 200) < 512 * 1024
