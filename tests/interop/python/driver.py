"""Drives the unmodified official gRPC client for Python: one step a line in, one JSON object a line out.

The steps are those of the gRPC driver for Java. Every client has its default settings unless a step says otherwise. The
module imports nothing of the project, since it runs on the path of the package alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, TextIO

import rocketmq
from rocketmq import ConsumeResult, FilterExpression, Message, TransactionResolution
from rocketmq.grpc_protocol import FilterType

Step = dict[str, str]
Answer = dict[str, Any]
RESOLUTIONS = {
    "COMMIT": TransactionResolution.COMMIT,
    "ROLLBACK": TransactionResolution.ROLLBACK,
    "UNKNOWN": TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED,
}
OPEN: dict[str, Any] = {}
TRANSACTIONS: dict[str, Any] = {}
MESSAGES: dict[str, Any] = {}
FLOODS: dict[str, SendLoop] = {}


def describe(message: Any) -> Answer:
    """Return what a user of the client can read of a received message."""
    return {
        "body": message.body[:200].decode(),
        "size": len(message.body),
        "md5": hashlib.md5(message.body).hexdigest(),
        "topic": message.topic,
        "attempt": message.delivery_attempt,
        "messageId": message.message_id,
        "tag": message.tag,
        "keys": sorted(message.keys),
        "properties": dict(message.properties),
        "messageGroup": message.message_group,
        "liteTopic": message.lite_topic,
        "priority": message.priority,
        "deliveryTimestamp": message.delivery_timestamp or None,
        "bornTimestamp": message.born_timestamp,
        "seen": time.time_ns() // 1_000_000,
    }


class Checker(rocketmq.TransactionChecker):
    """A checker that answers as the last step said, and keeps what it was asked."""

    def __init__(self, resolution: str) -> None:
        self.resolution = resolution
        self.checks: list[Answer] = []

    def check(self, message: Any) -> Any:
        resolution = self.resolution
        self.checks.append({**describe(message), "resolution": resolution})
        return RESOLUTIONS[resolution]


class Listener(rocketmq.MessageListener):
    """A listener that keeps its messages; the first deliveries of each message fail if the step said so."""

    def __init__(self, step: Step) -> None:
        self.messages: list[Answer] = []
        self._failures = int(step.get("failures", 0))
        self._busy_seconds = int(step.get("busy", 0)) / 1000
        self._arrived = threading.Condition()

    def consume(self, message: Any) -> Any:
        with self._arrived:
            self.messages.append(describe(message))
            times = sum(one["messageId"] == message.message_id for one in self.messages)
            self._arrived.notify_all()
        time.sleep(self._busy_seconds)
        return ConsumeResult.SUCCESS if times > self._failures else ConsumeResult.FAILURE

    def wait(self, count: int, seconds: float) -> list[Answer]:
        """Return the messages once there are so many, or after a time."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.messages) >= count, seconds)
            return list(self.messages)


class SendLoop:
    """A thread that sends one message after the other, whatever fails."""

    def __init__(self, client: Any, step: Step) -> None:
        self.acknowledged: list[str] = []
        self.failed = 0
        self.stopped = False
        self._client = client
        self._step = step
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for number in itertools.count():
            if self.stopped:
                break
            try:
                self._client.send(built(self._step, number))
                self.acknowledged.append(f"{self._step['body']}-{number}")
            except Exception:  # noqa: BLE001
                self.failed += 1
                time.sleep(0.02)


def configuration(step: Step) -> Any:
    credentials = rocketmq.Credentials(step.get("user", ""), step.get("secret", ""))
    return rocketmq.ClientConfiguration(step["endpoint"], credentials)


def tls(step: Step) -> dict[str, bool]:
    return {"tls_enable": step["tls"] == "true"} if "tls" in step else {}


def expression(step: Step) -> Any:
    kind = FilterType.SQL if step.get("sql") == "true" else FilterType.TAG
    return FilterExpression(step.get("expression", "*"), kind)


def started(step: Step, client: Any) -> Any:
    """Start a client, and keep it by its handle if that succeeds."""
    client.startup()
    OPEN[step["handle"]] = client
    return client


def produce(step: Step, _answer: Answer) -> None:
    checker = Checker(step["checker"]) if "checker" in step else None
    topics = step["topics"].split(",") if "topics" in step else None
    client = rocketmq.Producer(configuration(step), topics, checker, **tls(step))
    client.driver_checker = checker
    started(step, client)


def built(step: Step, number: int) -> Any:
    """Return a new message as a step describes it."""
    message = Message()
    message.topic = step["topic"]
    message.body = f"{step['body']}-{number}".encode().ljust(int(step.get("size", 0)), b".")
    for key in filter(None, step.get("keys", "").split(",")):
        message.keys = key
    if "tag" in step:
        message.tag = step["tag"]
    if "fifo" in step:
        message.message_group = step["fifo"]
    if "lite" in step:
        message.lite_topic = step["lite"]
    if "priority" in step:
        message.priority = int(step["priority"])
    if "delay" in step:
        message.delivery_timestamp = int(time.time() + int(step["delay"]) / 1000)
    for key, value in step.items():
        if key.startswith("p."):
            message.add_property(key[2:], value)
    return message


def receipt(sent: Any) -> Answer:
    return {"id": sent.message_id, "recall": sent.recall_handle}


def send(step: Step, answer: Answer) -> None:
    client = OPEN[step["handle"]]
    messages = [built(step, number) for number in range(int(step.get("count", 1)))]
    if step.get("async") == "true":
        answer["sent"] = [receipt(one.result(30)) for one in [client.send_async(message) for message in messages]]
    else:
        answer["sent"] = [receipt(client.send(message)) for message in messages]


def flood(step: Step, _answer: Answer) -> None:
    FLOODS[step["handle"]] = SendLoop(OPEN[step["handle"]], step)


def flooded(step: Step, answer: Answer) -> None:
    running = FLOODS[step["handle"]]
    running.stopped = step.get("last") == "true"
    answer["acknowledged"] = list(running.acknowledged)
    answer["failed"] = running.failed


def half(step: Step, answer: Answer) -> None:
    client = OPEN[step["handle"]]
    transaction = client.begin_transaction()
    answer["sent"] = receipt(client.send(built(step, 0), transaction))
    TRANSACTIONS[step.get("transaction", "t")] = transaction


def end(step: Step, _answer: Answer) -> None:
    transaction = TRANSACTIONS.pop(step.get("transaction", "t"))
    transaction.commit() if step["as"] == "COMMIT" else transaction.rollback()


def resolve(step: Step, _answer: Answer) -> None:
    OPEN[step["handle"]].driver_checker.resolution = step["as"]


def checks(step: Step, answer: Answer) -> None:
    answer["checks"] = list(OPEN[step["handle"]].driver_checker.checks)


def recall(step: Step, answer: Answer) -> None:
    answer["id"] = OPEN[step["handle"]].recall_message(step["topic"], step["recall"])


def open_consumer(step: Step, _answer: Answer) -> None:
    subscription = {step["topic"]: expression(step)}
    wait = int(step.get("await", 5))
    started(step, rocketmq.SimpleConsumer(configuration(step), step["group"], subscription, wait, **tls(step)))


def lite_open(step: Step, _answer: Answer) -> None:
    wait = int(step.get("await", 5))
    client = rocketmq.LiteSimpleConsumer(step["topic"], configuration(step), step["group"], wait, **tls(step))
    subscribe_all(step, started(step, client))


def receive(step: Step, answer: Answer) -> None:
    answer["messages"] = []
    client = OPEN[step["handle"]]
    for message in client.receive(int(step.get("count", 16)), int(step.get("seconds", 10))) or ():
        name = f"m{len(MESSAGES)}"
        MESSAGES[name] = message
        answer["messages"].append({**describe(message), "id": name})


def ack(step: Step, _answer: Answer) -> None:
    OPEN[step["handle"]].ack(MESSAGES[step["id"]])


def change(step: Step, _answer: Answer) -> None:
    OPEN[step["handle"]].change_invisible_duration(MESSAGES[step["id"]], int(step.get("seconds", 10)))


def push(step: Step, _answer: Answer) -> None:
    listener = Listener(step)
    client = rocketmq.PushConsumer(
        configuration(step), step["group"], listener, {step["topic"]: expression(step)}, **tls(step)
    )
    client.driver_listener = listener
    started(step, client)


def lite(step: Step, _answer: Answer) -> None:
    listener = Listener(step)
    client = rocketmq.LitePushConsumer(configuration(step), step["group"], step["topic"], listener, **tls(step))
    client.driver_listener = listener
    subscribe_all(step, started(step, client))


def subscribe_all(step: Step, client: Any) -> None:
    for name in step["lites"].split(","):
        client.subscribe_lite(name)


def subscribe(step: Step, _answer: Answer) -> None:
    OPEN[step["handle"]].subscribe_lite(step["lite"])


def unsubscribe(step: Step, _answer: Answer) -> None:
    OPEN[step["handle"]].unsubscribe_lite(step["lite"])


def pushed(step: Step, answer: Answer) -> None:
    listener = OPEN[step["handle"]].driver_listener
    answer["messages"] = listener.wait(int(step.get("count", 1)), int(step.get("timeout", 20_000)) / 1000)


def stop(step: Step, _answer: Answer) -> None:
    """Shut down one client, or all, without waiting unless the step says so."""
    names = [step["handle"]] if "handle" in step else list(OPEN)
    for name in names:
        thread = threading.Thread(target=OPEN.pop(name).shutdown, daemon=True)
        thread.start()
        if step.get("wait") == "true":
            thread.join()


VERBS: dict[str, Callable[[Step, Answer], None]] = {
    "produce": produce,
    "send": send,
    "flood": flood,
    "flooded": flooded,
    "half": half,
    "end": end,
    "resolve": resolve,
    "checks": checks,
    "recall": recall,
    "open": open_consumer,
    "lite-open": lite_open,
    "receive": receive,
    "ack": ack,
    "change": change,
    "push": push,
    "lite": lite,
    "subscribe": subscribe,
    "unsubscribe": unsubscribe,
    "pushed": pushed,
    "stop": stop,
}


def answer_to(line: str) -> Answer:
    """Do one step, and return its answer."""
    verb, *words = line.split()
    step = {key: urllib.parse.unquote(value) for key, _, value in (word.partition("=") for word in words)}
    answer: Answer = {"ok": True}
    try:
        VERBS[verb](step, answer)
    except LookupError as error:
        return {"ok": False, "error": "IllegalArgumentException", "message": repr(error)}
    except Exception as error:  # noqa: BLE001
        code = getattr(error, "code", None)
        return {
            "ok": False,
            "code": code if isinstance(code, int) else -1,
            "error": type(error).__name__,
            "message": str(error),
        }
    return answer


def main() -> None:
    answers: TextIO = sys.stdout
    sys.stdout = sys.stderr  # what the client prints must not mix with the answers
    for line in sys.stdin:
        answers.write(json.dumps(answer_to(line)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
