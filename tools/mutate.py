#!/usr/bin/env python3
"""Mutation testing of `auth/` and `guard/`: makes small mistakes in a module, one at a time; its tests must notice.

    .venv/bin/python tools/mutate.py                             all of auth/ and of guard/
    .venv/bin/python tools/mutate.py --module auth/index auth/decide
    .venv/bin/python tools/mutate.py --module auth/index --add   list new survivors; their reasons are to be written

Each mutant runs in a process of its own, within bounds of time and memory. Mutants that no test notices are compared
with `tools/mutation_survivors.toml`, where each has its reason. Ends with 1 when one is missing there, when one that is
listed is noticed now or gone, or when a reason is missing. What is mutated, and what is not, says `tools/mutants.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mutant_runs import Run, measure, preload, run_all
from mutants import Mutant, find_mutants

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "mqguard"
LIST = ROOT / "tools" / "mutation_survivors.toml"
PACKAGES = ("auth", "auth/analysis", "auth/documents", "auth/migration", "guard", "guard/requirements")

DECISION = ("action", "decide", "excess", "explain", "index", "policy", "precedence", "records", "request", "resource")
"""Modules of `auth/` that the properties of decisions are about, with those below."""
PROPERTIES = {f"auth/{name}" for name in (*DECISION, "rights", "snapshot", "source", "turning", "user", "verdict")}
TEXTS = ("acl_text", "action", "blank", "initial", "manager", "merging", "policy", "resource", "signature", "source")
"""Modules of `auth/` that recorded outcomes of Apache's module are about, with those below."""
VECTORS = {f"auth/{name}" for name in (*TEXTS, "subject", "user", "wording")}


@dataclasses.dataclass(frozen=True)
class Survivor:
    """A mutant that no test notices, and why that is right."""

    module: str
    place: str
    change: str
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it."""
        return self.module, self.place, self.change


def main() -> int:
    """Read the command line and do it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", nargs="+", metavar="M", help="such as auth/index; all of them when left out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at once (one per processor)")
    parser.add_argument("--list", type=Path, default=LIST, metavar="F", help="the survivors and their reasons")
    parser.add_argument("--add", action="store_true", help="add new survivors to the list, without a reason")
    options = parser.parse_args()
    modules = options.module or list(all_modules())
    unknown = [module for module in modules if not (SOURCE / f"{module}.py").is_file()]
    if unknown:
        parser.error(f"there is no module `{unknown[0]}`: write it as `auth/policy_index`")
    os.nice(10)
    options.list = options.list.absolute()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        preload(directory)
        return run(modules, options)


def run(modules: list[str], options: argparse.Namespace) -> int:
    """Run the mutants of the modules and compare; returns the exit status."""
    listed = {survivor.key: survivor for survivor in read_list(options.list)}
    failed = False
    total = survived = 0
    for module in modules:
        mutants, survivors = try_module(module, options.jobs)
        total += mutants
        survived += len(survivors)
        known = {key: found for key, found in listed.items() if key[0] == module}
        complaints = list(compare(known, {survivor.key: survivor for survivor in survivors}))
        print("\n".join(complaints), end="\n" * bool(complaints), flush=True)
        failed = failed or bool(complaints)
        if options.add:
            listed = {key: found for key, found in listed.items() if key[0] != module}
            listed |= {survivor.key: known.get(survivor.key, survivor) for survivor in survivors}
            write_list(options.list, list(listed.values()))
    print(f"{total:,} mutants, {total - survived:,} noticed, {survived:,} survived")
    return int(failed)


def all_modules() -> Iterator[str]:
    """Every module that is mutated, such as `auth/policy_index`."""
    for package in PACKAGES:
        for path in sorted((SOURCE / package).glob("*.py")):
            if find_mutants(path.read_text()):
                yield f"{package}/{path.stem}"


def tests_of(module: str) -> list[str]:
    """The tests that should notice a mistake in a module: its own, those beside it, and those of whoever uses it."""
    package, name = module.rsplit("/", 1)
    home = ROOT / "tests" / "unit" / package
    found = [home / f"test_{name}.py", *sorted(home.glob("test_*.py"))]
    if module in VECTORS:
        found += [ROOT / "tests" / "vectors" / f"test_{kind}.py" for kind in ("parsing", "signatures", "admin")]
    if module in PROPERTIES:
        found += sorted((ROOT / "tests" / "property" / "auth").glob("test_*.py"))
    if package == "auth/analysis":
        found += sorted((ROOT / "tests" / "property" / "analysis").glob("test_*.py"))
    if package == "guard/requirements":
        found += [ROOT / "tests" / "vectors" / "test_contexts.py", ROOT / "tests" / "house" / "test_requirements.py"]
    found += [ROOT / "tests" / "unit" / user.parent / f"test_{user.stem}.py" for user in users_of(module)]
    return [str(path.relative_to(ROOT)) for path in dict.fromkeys(found) if path.is_file()]


def users_of(module: str) -> list[Path]:
    """The modules that import a module, below the package's root."""
    dotted = re.compile(rf"from mqguard\.{module.replace('/', '[.]')} import")
    files = (path for path in sorted(SOURCE.rglob("*.py")) if dotted.search(path.read_text("utf-8")))
    return [path.relative_to(SOURCE) for path in files]


def try_module(module: str, jobs: int) -> tuple[int, list[Survivor]]:
    """Run every mutant of a module; how many there are, and those that survived.

    Raises:
        SystemExit: The tests fail without any mistake.
    """
    path = SOURCE / f"{module}.py"
    source = path.read_text()
    mutants = find_mutants(source)
    dotted = "mqguard." + module.replace("/", ".")
    started = time.monotonic()
    seconds = measure(dotted, tests_of(module))
    if seconds is None:
        sys.exit(f"the tests of {module} fail as it is: {' '.join(tests_of(module))}")
    runs = [Run(mutant, dotted, source, str(path), tests_of(module), seconds) for mutant in mutants]
    survivors: list[Mutant] = run_all(runs, jobs)
    took = time.monotonic() - started
    print(f"{module}: {len(mutants)} mutants, {len(survivors)} survived ({took:.0f} s)", flush=True)
    return len(mutants), [Survivor(module, mutant.place, mutant.change) for mutant in survivors]


def compare(
    listed: dict[tuple[str, str, str], Survivor], survivors: dict[tuple[str, str, str], Survivor]
) -> Iterator[str]:
    """What is wrong with the list."""
    for key, survivor in survivors.items():
        if key not in listed:
            yield f"  survived, not listed: {survivor.place}: {survivor.change}"
        elif not listed[key].reason:
            yield f"  listed without a reason: {survivor.place}: {survivor.change}"
    for key, survivor in listed.items():
        if key not in survivors:
            yield f"  listed, but noticed or gone: {survivor.place}: {survivor.change}"


def read_list(path: Path = LIST) -> list[Survivor]:
    """The listed survivors."""
    if not path.exists():
        return []
    return [Survivor(**found) for found in tomllib.loads(path.read_text("utf-8")).get("survivor", [])]


def write_list(path: Path, survivors: list[Survivor]) -> None:
    """Write the list, sorted, so that a change of it is easy to read."""
    head = "# Mutants of tools/mutate.py that no test notices, each with the reason why that is right.\n"
    tables = []
    for survivor in sorted(survivors, key=lambda one: one.module):
        lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in vars(survivor).items())
        tables.append("\n[[survivor]]\n" + "\n".join(lines) + "\n")
    path.write_text(head + "".join(tables), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
