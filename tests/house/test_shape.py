"""The code has small files, small functions and plain names, and no forgotten notes."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "mqguard"

MAX_FILE = 500
MAX_FUNCTION = 60

LONG_FILES: frozenset[str] = frozenset()
"""Files over the limit, by their path under `src/mqguard`. This list only shrinks."""

LONG_FUNCTIONS: frozenset[str] = frozenset()
"""Functions over the limit, as `path:name`. This list only shrinks."""

DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "impl", "base", "core", "stuff"}


def modules() -> Iterator[tuple[str, str]]:
    """Yield the path of every module under the package, and its text."""
    for path in sorted(SOURCE.rglob("*.py")):
        if "_generated" not in path.parts:
            yield str(path.relative_to(SOURCE)), path.read_text()


def long_functions() -> set[str]:
    """Return every function that is longer than the limit."""
    found = set()
    for name, text in modules():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                last = node.end_lineno or node.lineno
                if last - node.lineno >= MAX_FUNCTION:
                    found.add(f"{name}:{node.name}")
    return found


def test_no_file_is_too_long() -> None:
    """A file has at most 500 lines; each exception is listed, and each listed one is needed."""
    assert {name for name, text in modules() if text.count("\n") > MAX_FILE} == LONG_FILES


def test_no_function_is_too_long() -> None:
    """A function fits on a screen; each exception is listed, and each listed one is needed."""
    assert long_functions() == LONG_FUNCTIONS


def test_no_module_has_a_vague_name() -> None:
    """A module is named after its subject."""
    named = {name for name, _ in modules() if DRAWERS & {part.removesuffix(".py") for part in Path(name).parts}}

    assert named == set()


def test_packages_hold_a_docstring_only() -> None:
    """An `__init__` re-exports nothing, so that an import says where a name lives."""
    busy = []
    for name, text in modules():
        if name.endswith("__init__.py") and name != "__init__.py":
            body = ast.parse(text).body
            if len(body) != 1 or not isinstance(body[0], ast.Expr):
                busy.append(name)

    assert busy == []


def defined_names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target] if statement.value is not None else []
    else:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def test_no_module_defines_a_name_twice() -> None:
    """The last definition replaces the others even for functions above it, which a merge of two files hides."""
    twice = []
    for name, text in modules():
        counts = Counter(defined for statement in ast.parse(text).body for defined in defined_names(statement))
        twice += [f"{name}: {defined}" for defined, count in counts.items() if count > 1]

    assert twice == []


def test_a_todo_names_its_issue() -> None:
    """Each note about later work names an entry of the tracker."""
    loose = [
        f"{name}: {line.strip()}"
        for name, text in modules()
        for line in text.splitlines()
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line)
    ]

    assert loose == []


def test_no_secret_is_compared_with_equals() -> None:
    """Secrets and signatures are compared in constant time, by `hmac.compare_digest`."""
    pattern = re.compile(
        r"\b(signature|secret|password|digest)\w*\s*[!=]=|[!=]=\s*\w*(signature|secret|password)\b", re.IGNORECASE
    )
    found = [
        f"{name}: {line.strip()}"
        for name, text in modules()
        for line in text.splitlines()
        if pattern.search(line.split("#")[0]) and "==" in line and not re.search(r"[!=]=\s*(\"|'|None|\d)", line)
    ]

    assert found == [], found


def test_no_log_event_is_an_f_string() -> None:
    """A log call takes its values as arguments, so that redaction sees them."""
    found = [
        f"{name}:{node.lineno}"
        for name, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
        and node.args
        and isinstance(node.args[0], ast.JoinedStr)
    ]

    assert found == []


def test_json_of_commands_has_keys_in_camel_case() -> None:
    """Rare members of answers, which no example of a command prints."""
    wrong = [
        f"{path}:{key.lineno}: {key.value}"
        for path, text in modules()
        if path.startswith("cli/") or path in {"auth/explain.py", "guard/denial.py"}
        for node in ast.walk(ast.parse(text))
        for key in _string_keys(node)
        if re.fullmatch(r"[a-z]+_\w+", key.value) and key.value not in _KEYS_OF_OTHERS
    ]
    assert wrong == []


_KEYS_OF_OTHERS = {"help_option_names", "max_content_width", "only_data", "authenticated_by", "decided_by"}
"""Arguments of click and of functions, and names of the audit log."""


def _string_keys(node: ast.AST) -> Iterator[ast.Constant]:
    keys: list[ast.expr | None] = []
    if isinstance(node, ast.Dict):
        keys = node.keys
    elif isinstance(node, ast.Assign):
        keys = [target.slice for target in node.targets if isinstance(target, ast.Subscript)]
    yield from (key for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
