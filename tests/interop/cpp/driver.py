"""Drives the unmodified C++ core through the package `rocketmq` 0.4.4: one step a line in, one JSON object a line out.

The steps are those of the Java driver, as far as the package has them. The module imports nothing of the project, since
it runs on the path of the package alone.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, TextIO

from rocketmq.client import Message, Producer, PullConsumer, PushConsumer, RecvMessage
from rocketmq.exceptions import RocketMQException, ffi_check
from rocketmq.ffi import MessageModel, _CMessageQueue, dll

Step = dict[str, str]
Answer = dict[str, Any]


class StartedConsumer:
    """A started push consumer with its messages."""

    def __init__(self, consumer: Any, failures: int) -> None:
        self.consumer = consumer
        self.messages: list[Answer] = []
        self._failures = failures
        self._arrived = threading.Condition()

    def take(self, message: RecvMessage) -> None:
        """Keep a message; the first deliveries fail if the step said so."""
        with self._arrived:
            self.messages.append(describe(message))
            self._arrived.notify_all()
        if message.reconsume_times < self._failures:
            raise DeliveryFailed

    def wait(self, count: int, seconds: float) -> list[Answer]:
        """Return the messages once there are so many, or after a time."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.messages) >= count, seconds)
            return list(self.messages)


class DeliveryFailed(Exception):
    """The listener does not consume this delivery."""


PRODUCERS: dict[tuple[str, ...], Any] = {}
CONSUMERS: dict[str, StartedConsumer] = {}


def describe(message: RecvMessage) -> Answer:
    return {
        "topic": message.topic,
        "body": message.body.decode(),
        "msgId": message.id,
        "tag": text(message.tags),
        "key": text(message.keys),
        "queue": message.queue_id,
        "offset": message.queue_offset,
        "reconsumed": message.reconsume_times,
        "born": message.born_timestamp,
        "stored": message.store_timestamp,
    }


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def handle(client: Any) -> Any:
    """Return the client as the functions of the library take it."""
    return vars(client)["_handle"]


def sign_in(client: Any, step: Step) -> Any:
    """Set the address and the credentials; a client without credentials is one of the tests."""
    client.set_namesrv_addr(step["namesrv"])
    if "user" in step:
        client.set_session_credentials(step["user"], step["secret"], "")
    return client


def send(step: Step) -> Answer:
    key = (step["namesrv"], step.get("user", ""), step.get("secret", ""), step.get("group", ""))
    producer = PRODUCERS.get(key)
    if producer is None:
        group = step.get("group", f"interop_producer_{len(PRODUCERS)}_{os.getpid()}")
        producer = sign_in(Producer(group, timeout=5000), step)
        # Clients of a process with the same name share their routes, and those of a denied user are wrong.
        ffi_check(dll.SetProducerInstanceName(handle(producer), f"producer_{len(PRODUCERS)}".encode()))
        producer.start()
        PRODUCERS[key] = producer
    results = []
    for number in range(int(step.get("count", 1))):
        message = Message(step["topic"])
        message.set_body(f"{step.get('body', 'message')}-{number}")
        message.set_tags(step.get("tag", ""))
        message.set_keys(step.get("key", ""))
        for name in step:
            if name.startswith("property."):
                message.set_property(name.removeprefix("property."), step[name])
        if "level" in step:
            message.set_delay_time_level(int(step["level"]))
        match step.get("mode", "sync"):
            case "sync":
                sent = producer.send_sync(message)
            case "ordered":
                sent = producer.send_orderly(message, number % int(step.get("shards", 1)), retry_times=0)
            case "oneway":
                producer.send_oneway(message)
                continue
            case mode:
                raise ValueError(f"unknown mode {mode}")
        results.append({"status": f"SEND_{sent.status.name}", "msgId": sent.msg_id, "offset": sent.offset})
    return {"results": results}


def consume(step: Step) -> Answer:
    model = MessageModel[step.get("model", "CLUSTERING")]
    consumer = PushConsumer(step["group"], orderly=step.get("orderly") == "true", message_model=model)
    sign_in(consumer, step)
    consumer.set_instance_name(f"{step['handle']}_{time.monotonic_ns()}")
    running = StartedConsumer(consumer, int(step.get("failures", 0)))
    consumer.subscribe(step["topic"], running.take, step.get("expression", "*"))
    consumer.start()
    CONSUMERS[step["handle"]] = running
    return {}


def received(step: Step) -> Answer:
    running = CONSUMERS[step["handle"]]
    return {"messages": running.wait(int(step.get("count", 1)), int(step.get("timeout", 45_000)) / 1000)}


def stop(step: Step) -> Answer:
    CONSUMERS.pop(step["handle"]).consumer.shutdown()
    return {}


def pull(step: Step) -> Answer:
    """Pull once from each queue. The package's own `pull` repeats a request that is denied for ever."""
    consumer = sign_in(PullConsumer(step["group"]), step)
    consumer.start()
    queues, count = ctypes.POINTER(_CMessageQueue)(), ctypes.c_int()
    answer: Answer = {"statuses": [], "messages": []}
    try:
        topic = step["topic"].encode()
        ffi_check(
            dll.FetchSubscriptionMessageQueues(handle(consumer), topic, ctypes.pointer(queues), ctypes.pointer(count))
        )
        for index in range(count.value):
            found = dll.Pull(handle(consumer), ctypes.pointer(queues[index]), b"*", ctypes.c_longlong(0), 32)
            answer["statuses"].append(int(found.pullStatus))
            answer["messages"] += [describe(RecvMessage(found.msgFoundList[i])) for i in range(found.size)]
            dll.ReleasePullResult(found)
        ffi_check(dll.ReleaseSubscriptionMessageQueue(queues))
    finally:
        consumer.shutdown()
    return answer


def close(step: Step) -> Answer:
    del step
    for running in CONSUMERS.values():
        running.consumer.shutdown()
    CONSUMERS.clear()
    for producer in PRODUCERS.values():
        producer.shutdown()
    PRODUCERS.clear()
    return {}


STEPS: dict[str, Callable[[Step], Answer]] = {
    "send": send,
    "consume": consume,
    "received": received,
    "stop": stop,
    "pull": pull,
    "close": close,
}


def answer(line: str) -> Answer:
    verb, *words = line.split()
    step = {key: urllib.parse.unquote(value) for key, _, value in (word.partition("=") for word in words)}
    try:
        return {"ok": True, **STEPS[verb](step)}
    except RocketMQException as failure:
        return {"ok": False, "error": type(failure).__name__, "remark": str(failure)}
    except (KeyError, ValueError) as failure:
        return {"ok": False, "error": "IllegalArgumentException", "remark": repr(failure)}


def main(answers: TextIO) -> None:
    """Do the steps of standard input, and end with it."""
    for line in sys.stdin:
        answers.write(json.dumps(answer(line)) + "\n")
        answers.flush()
    os.kill(os.getpid(), signal.SIGKILL)  # the library's threads must not keep the process


if __name__ == "__main__":
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the library's own output must not mix with the answers
    main(kept)
