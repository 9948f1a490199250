#!/usr/bin/env python3
"""Test the tests of `auth/` and `guard/`: make small mistakes in a module, one at a time; its tests must notice each.

For example:

    .venv/bin/python tools/mutate.py                                    all modules of auth/ and guard/
    .venv/bin/python tools/mutate.py --module auth/policy_index auth/decide
    .venv/bin/python tools/mutate.py --module auth/policy_index --add   list new survivors; write their reasons then

Each mutant runs in a process of its own, with limits of time and memory. `tools/mutation_survivors.toml` lists the
mutants that no test notices, each with a reason. `tools/mutants.py` describes the mistakes. The exit status is 1 in
these cases:

- a survivor is not listed, or has no reason;
- a listed survivor is noticed now, or no longer exists.
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

BOTH = {"auth/policy", "auth/resource", "auth/source", "auth/user", "auth/verdict"}
DECISION = {"auth/decide", "auth/escalation", "auth/explain", "auth/minimal_change", "auth/policy_index"}
PROPERTIES = BOTH | DECISION | {"auth/records", "auth/snapshot"}
"""Modules that the properties in `tests/property/auth` test."""
VECTORS = BOTH | {"auth/acl_parser", "auth/authentication", "auth/manager"}
"""Modules that the recorded outcomes of Apache's module test."""


@dataclasses.dataclass(frozen=True)
class Survivor:
    """Mutant that no test notices, with the reason why this is acceptable."""

    module: str
    place: str
    change: str
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity of the mutant."""
        return self.module, self.place, self.change


def main() -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", nargs="+", metavar="M", help="such as auth/policy_index (all modules)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of concurrent mutants (one for each processor)"
    )
    parser.add_argument(
        "--list", type=Path, default=LIST, metavar="F", help="file with the survivors and their reasons"
    )
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
    """Run the mutants of the modules, compare the survivors with the list, and return the exit status."""
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
    """Yield every module with mutants, such as `auth/policy_index`."""
    for package in PACKAGES:
        for path in sorted((SOURCE / package).glob("*.py")):
            if find_mutants(path.read_text()):
                yield f"{package}/{path.stem}"


def tests_of(module: str) -> list[str]:
    """Return the tests that should notice a mistake in a module: its own, those of its package and of its users."""
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
    """Return the modules that import a module, as paths below the package's root."""
    dotted = re.compile(rf"from mqguard\.{module.replace('/', '[.]')} import")
    files = (path for path in sorted(SOURCE.rglob("*.py")) if dotted.search(path.read_text("utf-8")))
    return [path.relative_to(SOURCE) for path in files]


def try_module(module: str, jobs: int) -> tuple[int, list[Survivor]]:
    """Run every mutant of a module, and return the number of mutants with the survivors.

    Raises:
        SystemExit: The tests fail even without a mistake.
    """
    path = SOURCE / f"{module}.py"
    source = path.read_text()
    mutants = find_mutants(source)
    dotted = "mqguard." + module.replace("/", ".")
    started = time.monotonic()
    seconds = measure(dotted, tests_of(module))
    if seconds is None:
        sys.exit(f"the tests of {module} fail without a mistake: {' '.join(tests_of(module))}")
    runs = [Run(mutant, dotted, source, str(path), tests_of(module), seconds) for mutant in mutants]
    survivors: list[Mutant] = run_all(runs, jobs)
    took = time.monotonic() - started
    print(f"{module}: {len(mutants)} mutants, {len(survivors)} survived ({took:.0f} s)", flush=True)
    return len(mutants), [Survivor(module, mutant.place, mutant.change) for mutant in survivors]


def compare(
    listed: dict[tuple[str, str, str], Survivor], survivors: dict[tuple[str, str, str], Survivor]
) -> Iterator[str]:
    """Yield each difference between the list and the survivors."""
    for key, survivor in survivors.items():
        if key not in listed:
            yield f"  survived, not listed: {survivor.place}: {survivor.change}"
        elif not listed[key].reason:
            yield f"  listed without a reason: {survivor.place}: {survivor.change}"
    for key, survivor in listed.items():
        if key not in survivors:
            yield f"  listed, but noticed or gone: {survivor.place}: {survivor.change}"


def read_list(path: Path = LIST) -> list[Survivor]:
    """Return the listed survivors."""
    if not path.exists():
        return []
    return [Survivor(**found) for found in tomllib.loads(path.read_text("utf-8")).get("survivor", [])]


def write_list(path: Path, survivors: list[Survivor]) -> None:
    """Write the list in a fixed order, so that changes are easy to read."""
    head = "# Mutants of tools/mutate.py that no test notices, each with the reason why this is acceptable.\n"
    tables = []
    for survivor in sorted(survivors, key=lambda one: one.module):
        lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in vars(survivor).items())
        tables.append("\n[[survivor]]\n" + "\n".join(lines) + "\n")
    path.write_text(head + "".join(tables), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
