"""The command for mutation testing: its mistakes, its results, and its list of survivors."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from mutants import compile_mutant, find_mutants  # noqa: E402 - the tools are no package
from mutate import PROPERTIES, SOURCE, VECTORS, Survivor, all_modules, compare, read_list  # noqa: E402

CHANGES = [
    ("x = a < b", ["a < b → a <= b", "a < b → a >= b"]),
    ("x = a is None and b", ["a is None and b → a is None or b", "a is None → a is not None"]),
    ("x = not a", ["not a → a"]),
    ("x = 7", ["7 → 8 in: x = 7"]),
    ("x = 'word'", ["'word' → 'wordX' in: x = 'word'"]),
    ("x = f(a, b)", ["f(a, b) → f(b, a)"]),
    ("x = a + b", ["a + b → a - b"]),
    ("x |= b", ["x |= b → x &= b", "x |= b → nothing"]),
    ("f()", ["f() → nothing"]),
    ("def f():\n    return a", ["return a → return None"]),
    ("def f():\n    raise E('word')", ["raise E('word') → nothing"]),
    ("if f():\n    x = a", ["if f(): x = a → if not f(): x = a"]),
    ("x = [a for a in b if f(a)]", ["for a in b if f(a) → for a in b if not f(a)"]),
    # Text for people and other parts without behaviour are never changed.
    ("x = 'several words'", []),
    ("x = f'{a}'", []),
    ("'''Said in a docstring.'''", []),
    ("x: 'Kind' = a", []),
    ("T = TypeVar('T')", []),
    ("x = f(a, a)", []),
    ("class C(B, frozen=True):\n    __slots__ = ('a',)", []),
]


@pytest.mark.parametrize(("source", "changes"), CHANGES, ids=[source.splitlines()[0] for source, _ in CHANGES])
def test_these_mistakes_are_made(source, changes):
    assert [" ".join(mutant.change.split()) for mutant in find_mutants(source)] == changes


def test_each_mutant_is_one_change_and_has_a_name_of_its_own():
    source = (SOURCE / "auth" / "decide.py").read_text()
    mutants = find_mutants(source)
    assert len({(mutant.place, mutant.change) for mutant in mutants}) == len(mutants) > 50
    codes = {compile_mutant(source, mutant.number, "decide.py") for mutant in mutants}
    assert len(codes) == len(mutants)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tools/mutate.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def mutants_of(module: str) -> int:
    return len(find_mutants((SOURCE / f"{module}.py").read_text()))


@pytest.mark.timeout(600)
def test_every_mistake_in_a_small_module_is_noticed():
    """The module is the one with the fewest mutants, among those without a listed survivor."""
    listed = {survivor.module for survivor in read_list()}
    modules = [module for module in all_modules() if module not in listed]
    module = min(modules, key=mutants_of)
    count = mutants_of(module)
    done = run("--module", module, "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{count} mutants, {count} noticed, 0 survived"


def test_a_listed_survivor_that_tests_notice_is_reported():
    survivor = Survivor("auth/errors", "P", "1 → 2", "a reason")
    assert list(compare({survivor.key: survivor}, {survivor.key: survivor})) == []
    assert list(compare({survivor.key: survivor}, {})) == ["  listed, but noticed or gone: P: 1 → 2"]


def test_an_unknown_module_is_an_error():
    done = run("--module", "auth/nothing")
    assert done.returncode == 2
    assert "there is no module `auth/nothing`" in done.stderr


def test_every_listed_survivor_is_still_a_mutant_and_has_its_reason():
    listed = read_list()
    assert listed
    there = {
        module: {(mutant.place, mutant.change) for mutant in find_mutants((SOURCE / f"{module}.py").read_text())}
        for module in {survivor.module for survivor in listed}
    }
    for survivor in listed:
        assert survivor.reason, survivor
        assert (survivor.place, survivor.change) in there[survivor.module], (
            f"not there any more: run tools/mutate.py --module {survivor.module} and correct the list",
            survivor,
        )


def test_every_module_with_additional_tests_exists():
    """The names in the tool are those of modules, so that their additional tests run."""
    assert [name for name in sorted(PROPERTIES | VECTORS) if not (SOURCE / f"{name}.py").is_file()] == []
