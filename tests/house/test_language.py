"""The rules of language in CONTRIBUTING.md hold, and tests keep to public names and shared helpers.

Each banned form has a count per area that may only fall.

`python tests/house/test_language.py --write` rewrites the table of counts, `--list [AREA]` shows every hit.
"""

import ast
import functools
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "mqguard"
TABLE = Path(__file__).with_name("language_counts.tsv")

# With True, the table must be exact: a count that fell must be written down. With False, a count may rise by SLACK.
EXACT = True
SLACK = 12

CODE, DOCS, TESTS = "code", "docs", "tests"


@dataclass(frozen=True)
class Text:
    """A piece of prose: a docstring, a comment, a message, a paragraph of a document or a test's name."""

    area: str
    path: Path
    line: int
    kind: str
    words: str


@dataclass(frozen=True)
class Hit:
    """A banned form at one place."""

    area: str
    rule: str
    path: Path
    line: int
    found: str


def words(*patterns: str) -> re.Pattern[str]:
    """Return a pattern that matches any of the given whole words, whatever their case."""
    return re.compile(rf"(?<![\w-])(?:{'|'.join(patterns)})(?![\w-])", re.IGNORECASE)


# Banned forms of each rule in prose of every kind. Text between backticks never counts.
BANNED = {
    "people's verbs": words(
        r"sp(?:eaks?|eaking|oke|oken)",
        r"hear(?:s|d|ing)?",
        r"tells?|telling|told",
        r"turn(?:s|ed|ing)?(?! (?:on|off)\b)",
        r"stands?|standing|stood",
        r"lies?|lying|lain",
        r"mend(?:s|ed|ing)?",
        r"believ(?:e|es|ed|ing)",
        r"forgiv(?:e|es|ing|en)|forgave",
        r"excus(?:e|es|ed)",
    ),
    "metaphors": words(r"beside", r"patience|patient(?:ly)?", r"story|stories", r"whoever"),
    "glossary": words(
        r"nobody",
        r"proven?|proves|proof",
        r"silen(?:t|ce|tly)",
        r"remember(?:s|ed|ing)?",
        r"on record",
        r"time is up",
        r"parked",
        r"faults? of ours",
        r"lets? in",
        r"kept out|keeps? out",
    ),
    "is no": re.compile(r"(?<!there )\b(?:is|are|was|were) (?:no|none)\b(?! (?:longer|more)\b)", re.IGNORECASE),
    "can not": re.compile(r"\bcan not\b", re.IGNORECASE),
}
OPENING = re.compile(r"(?:^|(?<=[.!?:] ))(?:What|Who|Whoever|Where|Wherever|Whether)\b[^.?!]*(?![^.?!]*\?)(?:[.!]|$)")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
MAX_SENTENCE_WORDS = 25
# A function's docstring opens with a verb in the imperative, or with "True if".
NO_VERB = re.compile(
    r"(?:The|A|An|All|Any|As|At|Each|Every|For|From|How|If|In|Is|It|Its|No|None|Of|On|One|Only|Same|So|That|This|"
    r"Those|These|To|Under|When|With|Without|What|Who|Whoever|Where|Whether|[A-Z][a-z]+[b-rt-z]s|[A-Z][a-z]*[aeiou]es)\b"
)
NOT_A_GERUND = {"string", "ring"}
MESSAGE = re.compile(r"[A-Za-z]{2,} [a-z`{]")
PRIVATE = re.compile(r"_[a-zA-Z]\w*")
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
# A helper with a body of two lines may be repeated; a longer one belongs to `tests/fixtures`.
MAX_COPIED_LINES = 2
HIDDEN = re.compile(r"``.*?``|`[^`\n]*`|\"https?://\S+|https?://\S+", re.DOTALL)


def tracked(*patterns: str) -> list[Path]:
    """Return the files of the repository that match git patterns."""
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def area_of(path: Path) -> str:
    """Return the area that a file is counted in: a package, `docs`, a directory of tests, or `bench` and the like."""
    if path.is_relative_to(PACKAGE):
        return path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if path.suffix == ".md":
        return DOCS
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[: 3 if parts[1] in {"unit", "property"} else 2]) if parts[0] == TESTS else parts[0]


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return all nodes of a file's syntax tree, the module first."""
    return list(ast.walk(ast.parse(path.read_text())))


def body_of(path: Path) -> list[ast.stmt]:
    """Return the statements of a file at its top level."""
    module = nodes_of(path)[0]
    assert isinstance(module, ast.Module)
    return module.body


def docstrings(nodes: list[ast.AST]) -> Iterator[tuple[ast.AST, ast.Constant]]:
    """Yield every docstring with its owner: modules, classes, functions, and attributes (a text after a field)."""
    for node in nodes:
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for number, statement in enumerate(node.body):
            if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement.value.value, str):
                yield (node if number == 0 else statement), statement.value


def is_attribute(node: ast.AST) -> bool:
    """True if a function is read like an attribute, so that its docstring opens with a noun."""
    names = [ast.unparse(mark) for mark in getattr(node, "decorator_list", [])]
    return any("property" in name or "command" in name or "group" in name for name in names)


def comment_blocks(source: str) -> Iterator[tuple[int, str]]:
    """Yield each comment with its first line; lines that follow each other are one comment."""
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        said = token.string.lstrip("#!: ")
        if re.match(r"noqa|type:|pragma|mypy|ruff|/usr", said):
            continue
        if block and token.start[0] == last + 1:
            block.append(said)
        else:
            if block:
                yield first, " ".join(block)
            block, first = [said], token.start[0]
        last = token.start[0]
    if block:
        yield first, " ".join(block)


def messages(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield the texts of the code that people read: literals of several words, except docstrings."""
    taken = {id(constant) for _, constant in docstrings(nodes)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            taken.update(id(part) for part in node.values)
            text = "".join(str(p.value) if isinstance(p, ast.Constant) else "`x`" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in taken:
            text = node.value
        else:
            continue
        if MESSAGE.search(text):
            yield node.lineno, text


def python_texts(path: Path) -> Iterator[Text]:
    """Yield the prose of a Python file. In tests, literals are data and do not count."""
    nodes, area = nodes_of(path), area_of(path)
    for owner, constant in docstrings(nodes):
        verb = isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef) and not is_attribute(owner)
        kind = "function" if verb and not getattr(owner, "name", "").startswith("test_") else "docstring"
        yield Text(area, path, constant.lineno, kind, str(constant.value))
    for line, said in comment_blocks(path.read_text()):
        yield Text(area, path, line, "comment", said)
    if not area.startswith(TESTS):
        for line, said in messages(nodes):
            yield Text(area, path, line, "message", said)
        return
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Text(area, path, node.lineno, "name", node.name.removeprefix("test_").replace("_", " "))


def document_texts(path: Path) -> Iterator[Text]:
    """Yield the paragraphs of a document without its code."""
    said = re.sub(
        r"^( *)```.*?^\1```", lambda m: "\n" * m.group().count("\n"), path.read_text(), flags=re.DOTALL | re.MULTILINE
    )
    line = 1
    for paragraph in re.split(r"(\n(?=\n|[-*#|]|\d+\.))", said):
        if paragraph.strip():
            lead = len(paragraph) - len(paragraph.lstrip("\n"))
            yield Text(DOCS, path, line + lead, "document", paragraph.strip().lstrip("-*#| "))
        line += paragraph.count("\n")


def prose() -> Iterator[Text]:
    """Yield all prose of the repository, except this file, which names what it bans."""
    for path in tracked("src/*.py", "tests/*.py", "tools/*.py", "bench/*.py", "examples/*.py"):
        if path != Path(__file__).resolve():
            yield from python_texts(path)
    for path in tracked("*.md"):
        yield from document_texts(path)


# Parts of a docstring that are read on their own: sections and the items of lists.
SECTION = re.compile(r"^\s*(?:Args|Attributes|Raises|Returns|Yields):\s*$|^\s+\w+: (?=\S)|^\s*- (?=\S)", re.MULTILINE)
COMMAND = re.compile(r"^ +(?:\.venv/bin/)?python .*$", re.MULTILINE)


def prose_hits(text: Text) -> Iterator[Hit]:
    """Yield each banned form in one text; every part of a docstring is read on its own, without example commands."""
    whole = HIDDEN.sub("`x`", COMMAND.sub("", text.words))
    pieces = SECTION.split(whole) if text.kind in {"function", "docstring"} else [whole]
    found: list[tuple[str, str]] = []
    for piece in pieces:
        plain = " ".join(piece.split())
        for rule, pattern in BANNED.items():
            found += [(rule, plain[max(0, m.start() - 25) : m.end() + 25]) for m in pattern.finditer(plain)]
        if text.kind not in {"message", "name"} and not (text.kind == "document" and text.words.startswith("|")):
            found += [("opening", m.group()[:60]) for m in OPENING.finditer(plain)]
        if text.kind in {"function", "docstring", "comment"}:
            sentences = SENTENCE_END.split(plain)
            found += [("long sentence", s[:90]) for s in sentences if len(s.split()) > MAX_SENTENCE_WORDS]
    if text.kind == "function" and NO_VERB.match(whole):
        found.append(("function opening", whole[:60]))
    for rule, said in found:
        yield Hit(text.area, rule, text.path, text.line, said)


def name_hits() -> Iterator[Hit]:
    """Yield each banned name: modules, constants, and classes that mean two things."""
    classes: defaultdict[str, list[tuple[Path, int]]] = defaultdict(list)
    for path in tracked("src/*.py"):
        stem = path.stem
        if stem.endswith("ing") and stem not in NOT_A_GERUND:
            yield Hit(area_of(path), "module in -ing", path, 1, stem)
        for node in body_of(path):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append((path, node.lineno))
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Name) and re.match(r"_?(?:MOST|MAX_CACHED_NAME)_", target.id):
                    yield Hit(area_of(path), "MOST_ or LONGEST_", path, node.lineno, target.id)
    for name, places in classes.items():
        if len(places) > 1:
            for path, line in places:
                yield Hit(area_of(path), "class means two things", path, line, name)


def private_names(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield each place that reaches into a private name of something else: `x._name`, or its name given to a patch."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr):
            if ast.unparse(node.value) not in {"self", "cls", "super()"} and node.attr not in OF_NAMED_TUPLES:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr" and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and PRIVATE.fullmatch(str(name.value)):
                yield node.lineno, ast.unparse(node)[:60]


def is_long_helper(node: ast.FunctionDef) -> bool:
    """True if a function of a test file is a helper that is too long to be repeated."""
    first, last = node.body[0].lineno, node.body[-1].end_lineno or 0
    return not node.name.startswith("test_") and last - first + 1 > MAX_COPIED_LINES


def hits_in_tests() -> Iterator[Hit]:
    """Yield what makes tests hard to change: private names, and helpers that several files define again."""
    places: defaultdict[tuple[str, str], list[tuple[Path, int, str]]] = defaultdict(list)
    for path in tracked("tests/*.py"):
        for line, said in private_names(nodes_of(path)):
            yield Hit(area_of(path), "private name in a test", path, line, said)
        for node in body_of(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("Test"):
                places["class defined twice in tests", node.name].append((path, node.lineno, node.name))
            elif isinstance(node, ast.FunctionDef) and is_long_helper(node):
                body = ast.dump(ast.Module(node.body, []))
                places["helper defined twice in tests", body].append((path, node.lineno, node.name))
    for (rule, _), found in places.items():
        if len(found) > 1:
            yield from (Hit(area_of(path), rule, path, line, name) for path, line, name in found)


def all_hits() -> list[Hit]:
    """Return every banned form in the repository."""
    return [*(hit for text in prose() for hit in prose_hits(text)), *name_hits(), *hits_in_tests()]


def read_table() -> dict[tuple[str, str], int]:
    """Return the allowed counts by area and rule."""
    rows = [line.split("\t") for line in TABLE.read_text().splitlines()[1:]]
    return {(area, rule): int(count) for area, rule, count in rows}


def write_table() -> None:
    """Write the counts of now as the allowed ones."""
    counts = Counter((hit.area, hit.rule) for hit in all_hits())
    rows = [f"{area}\t{rule}\t{count}" for (area, rule), count in sorted(counts.items())]
    TABLE.write_text("\n".join(["area\trule\tcount", *rows]) + "\n")


def test_banned_forms_never_become_more() -> None:
    """No area has more banned forms than the table allows."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for hit in all_hits():
        found[hit.area, hit.rule].append(f"{hit.path.relative_to(ROOT)}:{hit.line}: {hit.found}")
    allowed, slack = read_table(), 0 if EXACT else SLACK
    risen = [
        f"{area}: {rule}: {len(hits)}, allowed {allowed.get((area, rule), 0)}: " + "; ".join(hits[:40])
        for (area, rule), hits in sorted(found.items())
        if len(hits) > allowed.get((area, rule), 0) + slack
    ]
    stale = [f"{area}: {rule}" for (area, rule), count in allowed.items() if count > len(found[area, rule])]

    assert risen == [], "see the rules of language in CONTRIBUTING.md"
    assert not EXACT or stale == [], "counts fell: run `python tests/house/test_language.py --write`"


@pytest.mark.parametrize(
    ("rule", "kind", "said"),
    [
        ("people's verbs", "comment", "The broker is told of it."),
        ("people's verbs", "docstring", "A sentence that speaks of a user."),
        ("metaphors", "comment", "The file beside it."),
        ("glossary", "message", "the user has proven who it is"),
        ("is no", "message", "`x` is no valid port"),
        ("can not", "document", "Clients can not connect."),
        ("opening", "docstring", "What a user may do."),
        ("opening", "comment", "Stop here. Whoever comes next waits."),
        ("function opening", "function", "Returns the value."),
        ("function opening", "function", "The value of a user."),
        ("long sentence", "comment", " ".join(["word"] * 26)),
    ],
)
def test_a_banned_form_is_found(rule: str, kind: str, said: str) -> None:
    """Each rule finds an example of what it bans."""
    assert rule in {hit.rule for hit in prose_hits(Text("auth", TABLE, 1, kind, said))}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("engine._store.queue", ["engine._store"]),
        ("self._store; cls._store; row._replace; x.__dict__; x.store", []),
        ("monkeypatch.setattr(pull, '_clock', 1)", ["monkeypatch.setattr(pull, '_clock', 1)"]),
        ("monkeypatch.setattr(pull, 'clock', 1)", []),
    ],
)
def test_private_names_in_tests_are_found(code: str, expected: list[str]) -> None:
    """Own attributes, those of named tuples and those between double underscores do not count."""
    assert [said for _, said in private_names(list(ast.walk(ast.parse(code))))] == expected


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("comment", "The standalone server returns `told`, and there is no other way."),
        ("function", "Return the value. Is it known?"),
        ("function", "Process a frame."),
        ("function", "True if the user may send."),
        ("document", "Where is the file? In the data directory, and nothing is no longer valid."),
        ("document", "Turn off the option `stand`."),
    ],
)
def test_a_good_form_is_not_found(kind: str, said: str) -> None:
    """Correct sentences have no hit."""
    assert list(prose_hits(Text("auth", TABLE, 1, kind, said))) == []


if __name__ == "__main__":
    if "--write" in sys.argv:
        write_table()
    else:
        wanted = sys.argv[sys.argv.index("--list") + 1 :] if "--list" in sys.argv else []
        for one in all_hits():
            if not wanted or one.area in wanted:
                print(f"{one.path.relative_to(ROOT)}:{one.line}: {one.rule}: {one.found}")
