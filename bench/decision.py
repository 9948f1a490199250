#!/usr/bin/env python3
"""Measure one decision of mqguard, Apache's auth module 5.5.0 (Java), casbin and Cedar, on one core in one run.

Usage: `python bench/decision.py [--seconds 0.5] [--rounds 5]`

The user, its entries and the requests are the same for all. Figures are nanoseconds of processor time for one
decision, the median of the rounds. mqguard is measured three times:

- again: the same request each time
- names: another name each time (ten thousand, or all literal names of the entries)
- anew: a request for which nothing is cached, so the entries themselves are searched

The cache belongs to the entries, not to the requested names.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import casbin
import cedarpy
import servers

from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.user import LiveSecret, Secret, Subject, User
from mqguard.auth.verdict import AccessRequest

COUNTS = (10, 100, 1_000, 10_000)
MIXES = ("literal", "prefixed", "mix")
REQUESTS = {"a middle one": "middle-topic", "none": "nothing"}
NAMES = 10_000
ADDRESS = parse_address("10.1.2.3")
PUB = frozenset({Action.PUB})


def entries(mix: str, count: int) -> tuple[Entry, ...]:
    """Return the entries that DecisionBench.java creates; the request matches the middle one."""
    made = []
    for i in range(count):
        name = f"team-{i % 37:02d}-orders-{i:05d}"
        actions = (Action.SUB,) if i % 3 == 0 else (Action.PUB, Action.SUB)
        if i == count // 2:
            key = "Topic:middle*" if mix == "prefixed" else "Topic:middle-topic"
            actions = (Action.PUB, Action.SUB)
        elif mix == "literal" or (mix == "mix" and i % 10 < 4):
            key = f"Topic:{name}"
        elif mix == "prefixed" or i % 10 < 8:
            key = f"Topic:{name}*"
        else:
            key = f"Group:{name}" if i % 10 == 8 else ("Group:*" if i % 20 == 9 else "Cluster:*")
        made.append(Entry(Resource.parse(key), actions, (), Decision.ALLOW))
    return tuple(made)


def rights(mix: str, count: int) -> Rights:
    """Return the compiled rights of a user with these entries."""
    acl = Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, entries(mix, count)),))
    held = Rights(User("alice", (LiveSecret(Secret("12345678")),)), acl)
    held.compile()
    return held


def median(work: Callable[[int], None], seconds: float, rounds: int) -> float:
    """Return the nanoseconds of processor time for one of the `n` steps of `work(n)`."""
    n = 1
    while True:
        started = time.process_time_ns()
        work(n)
        if time.process_time_ns() - started > seconds * 2e8:
            break
        n *= 2
    times = []
    for _ in range(rounds):
        started = time.process_time_ns()
        work(n)
        times.append((time.process_time_ns() - started) / n)
    return statistics.median(times)


def again(held: Rights, name: str) -> Callable[[int], None]:
    """Return work that decides the same request each time."""
    request = AccessRequest(ResourceType.TOPIC, name, PUB, ADDRESS)

    def work(n: int) -> None:
        for _ in itertools.repeat(None, n):
            decide(request, held)

    return work


def by_names(mix: str, count: int, name: str) -> Callable[[int], None]:
    """Return work with another name each time: all names of entries, or many that a prefix or no entry matches."""
    held = rights(mix, count)
    names = [f"{name}-{i}" for i in range(NAMES)]
    if name == REQUESTS["a middle one"] and mix != "prefixed":
        made = entries(mix, count)
        names = [entry.resource.name for entry in made if entry.resource.pattern is Pattern.LITERAL]
    asked = itertools.cycle([AccessRequest(ResourceType.TOPIC, one, PUB, ADDRESS) for one in names])

    def work(n: int) -> None:
        for request in itertools.islice(asked, n):
            decide(request, held)

    return work


def anew(mix: str, count: int, name: str) -> Callable[[int], None]:
    """Return work that clears the cache before each decision; the time to clear it is included."""
    held = rights(mix, count)
    request = AccessRequest(ResourceType.TOPIC, name, PUB, ADDRESS)
    clear = held.names[ResourceType.TOPIC].find(name).answers.clear

    def work(n: int) -> None:
        for _ in itertools.repeat(None, n):
            clear()
            decide(request, held)

    return work


def java(seconds: float, rounds: int) -> dict[tuple[str, int, str], float]:
    """Measure Apache's module; return nanoseconds by mix, number of entries and request."""
    lib = servers.libraries()
    with tempfile.TemporaryDirectory() as out:
        source = Path(__file__).parent / "peer" / "DecisionBench.java"
        subprocess.run(["javac", "-d", out, "-cp", f"{lib}/*", str(source)], check=True)
        (Path(out) / "off.xml").write_text('<configuration><root level="OFF"/></configuration>')
        options = ["-XX:ActiveProcessorCount=1", "-XX:+UseSerialGC", "-Xms2g", "-Xmx2g", f"-Duser.home={out}"]
        log = f"-Drmq.logback.configurationFile={out}/off.xml"
        command = ["java", *options, log, "-cp", f"{out}:{lib}/*", "DecisionBench", str(seconds), str(rounds)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(_rows(text))


def _rows(text: str) -> Iterator[tuple[tuple[str, int, str], float]]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if cells[0] in MIXES:
            yield (cells[0], int(cells[1].replace(",", "")), cells[2]), float(cells[3].replace(",", ""))
        elif cells[0].startswith("auth"):
            print(f"Apache, {cells[0]}: {cells[1]} ns")


CASBIN_MODEL = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act
"""


def by_casbin(mix: str, count: int, name: str) -> Callable[[int], None]:
    """Return work for casbin: one policy line for each entry and action, and its own prefix matcher."""
    model = casbin.Model()
    model.load_model_from_text(CASBIN_MODEL)
    enforcer = casbin.Enforcer(model)
    rules = [["alice", entry.resource.key, a.value] for entry in entries(mix, count) for a in entry.actions]
    enforcer.add_policies(list(map(list, dict.fromkeys(map(tuple, rules)))))

    def work(n: int) -> None:
        for _ in itertools.repeat(None, n):
            enforcer.enforce("alice", f"Topic:{name}", "Pub")

    return work


def by_cedar(mix: str, count: int, name: str) -> Callable[[int], None]:
    """Return work for Cedar: one permit for each entry. A batch of requests shares the parsing of the policies."""
    text = "\n".join(map(_permit, entries(mix, count)))
    entity = {"uid": {"type": "Topic", "id": name}, "attrs": {"name": name}, "parents": []}
    request = {"principal": 'User::"alice"', "action": 'Action::"Pub"', "resource": f'Topic::"{name}"', "context": {}}

    def work(n: int) -> None:
        cedarpy.is_authorized_batch([request] * n, text, [entity])

    return work


def _permit(entry: Entry) -> str:
    actions = ", ".join(f'Action::"{action.value}"' for action in entry.actions)
    resource = entry.resource
    what, when = f"resource is {resource.type.value}", ""
    if resource.pattern is Pattern.LITERAL:
        what = f'resource == {resource.type.value}::"{resource.name}"'
    elif resource.pattern is Pattern.PREFIXED:
        when = f' when {{ resource.name like "{resource.name}*" }}'
    return f'permit(principal == User::"alice", action in [{actions}], {what}){when};'


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    theirs = java(options.seconds, options.rounds)
    print("entries | number | request matches | again | names | anew | Java | again/Java | anew/Java | casbin | Cedar")
    print("---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:")
    for mix, count, (label, name) in itertools.product(MIXES, COUNTS, REQUESTS.items()):
        ours = median(again(rights(mix, count), name), options.seconds, options.rounds)
        other_names = median(by_names(mix, count, name), options.seconds, options.rounds)
        first = median(anew(mix, count, name), options.seconds, options.rounds)
        other = theirs[mix, count, label]
        short = min(options.seconds, 0.2)
        casbin_ns = median(by_casbin(mix, count, name), short, 3)
        cedar_ns = median(by_cedar(mix, count, name), short, 3)
        own = f"{ours:,.0f} | {other_names:,.0f} | {first:,.0f}"
        against = f"{other:,.0f} | {ours / other:.3f} | {first / other:.3f} | {casbin_ns:,.0f} | {cedar_ns:,.0f}"
        print(f"{mix} | {count:,} | {label} | {own} | {against}", flush=True)


if __name__ == "__main__":
    main()
