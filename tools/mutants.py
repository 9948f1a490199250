"""Mutants: Python source with one small mistake each, which tests should notice.

These parts are changed:

- comparisons, `and`/`or`/`not`, conditions, arithmetic and bits
- numbers, truth values and plain strings
- the result of a function, and the order of two arguments
- single statements, which are left out

These parts are never changed:

- docstrings, annotations and their variables, `__slots__`
- the settings of a class (`frozen=True`)
- messages: f-strings, texts of several words, and the error of a `raise`
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from types import CodeType

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_SIMPLE = (ast.Compare, ast.BoolOp, ast.Constant, ast.UnaryOp)
"""Conditions that another rule changes already."""
_WORDS = re.compile(r"[a-z,:] [a-z`]")
_MAX_SHOWN = 90


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        number: Its position among all mutants; changes with the source.
        place: The function or class with the mistake.
        change: The old and the new code; together with `place` it identifies the mutant.
        line: The line of the mistake.
    """

    number: int
    place: str
    change: str
    line: int


@dataclasses.dataclass(frozen=True)
class _Site:
    place: str
    parent: ast.AST
    node: ast.AST
    new: ast.AST

    @property
    def change(self) -> str:
        text = f"{_shown(self.node)} → {_shown(self.new)}"
        # A number alone has no meaning for a reader.
        return f"{text} in: {_shown(self.parent)}" if isinstance(self.node, ast.Constant) else text


def find_mutants(source: str) -> list[Mutant]:
    """Return every mutant of a module, in the order of its source."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for number, site in enumerate(_sites(ast.parse(source))):
        change = site.change
        seen[site.place, change] += 1
        again = seen[site.place, change]
        change += f" ({again})" if again > 1 else ""
        found.append(Mutant(number, site.place, change, getattr(site.node, "lineno", 0)))
    return found


def compile_mutant(source: str, number: int, path: str) -> CodeType:
    """Return the code of the module with one mistake."""
    tree = ast.parse(source)
    site = list(_sites(tree))[number]
    mutated = ast.fix_missing_locations(_Replace(site.node, site.new).visit(tree))
    return compile(mutated, path, "exec")


class _Replace(ast.NodeTransformer):
    def __init__(self, node: ast.AST, new: ast.AST) -> None:
        self._node = node
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._node:
            return ast.copy_location(self._new, node)
        return self.generic_visit(node)


def _shown(node: ast.AST) -> str:
    if isinstance(node, ast.Pass):
        return "nothing"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _sites(tree: ast.AST, place: str = "module") -> Iterator[_Site]:
    for child in _changeable(tree):
        inner = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = child.name if place == "module" else f"{place}.{child.name}"
        for new in _changes(child):
            yield _Site(inner, tree, child, new)
        if isinstance(child, ast.Raise):
            continue  # the rest of it is a message
        yield from _sites(child, inner)


def _changeable(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the children of a node in which a change can have an effect."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params") or (
            isinstance(node, ast.ClassDef) and name in ("keywords", "bases", "decorator_list")
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_fixed(child):
                yield child


def _is_fixed(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Constant()) | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.MatchValue():
            return True
        case ast.Assign([ast.Name("__slots__")]):
            return True
        case ast.Call(ast.Name("TypeVar")):
            return True
    return False


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            yield from _other_comparisons(node)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(ast.Not()):
            yield node.operand
        case ast.BinOp() if type(node.op) in _OPERATORS:
            yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
        case ast.AugAssign() if type(node.op) in _OPERATORS:
            yield ast.AugAssign(node.target, _OPERATORS[type(node.op)](), node.value)
        case ast.Constant():
            yield from map(ast.Constant, _other_constants(node.value))
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Call(_, [first, second, *rest]) if _can_swap(first, second):
            yield ast.Call(node.func, [second, first, *rest], node.keywords)
    yield from _negated(node)
    if _can_go(node):
        yield ast.Pass()


def _other_comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for place, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            ops = list(node.ops)
            ops[place] = other()
            yield ast.Compare(node.left, ops, node.comparators)


def _other_constants(value: object) -> Iterator[bool | int | float | str | bytes]:
    match value:
        case bool():
            yield not value
        case int() | float():
            yield value + 1
        case str() if not _WORDS.search(value):
            yield value + "X"
        case bytes():
            yield value + b"X"


def _can_swap(first: ast.AST, second: ast.AST) -> bool:
    return not isinstance(first, ast.Starred | ast.Constant) and ast.dump(first) != ast.dump(second)


def _negated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the node with its condition negated, if no other rule changes the condition."""
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, _SIMPLE):
        other = copy.copy(node)
        other.test = ast.UnaryOp(ast.Not(), node.test)
        yield other
    if isinstance(node, ast.comprehension):
        for place, test in enumerate(node.ifs):
            if not isinstance(test, _SIMPLE):
                ifs = [*node.ifs[:place], ast.UnaryOp(ast.Not(), test), *node.ifs[place + 1 :]]
                yield ast.comprehension(node.target, node.iter, ifs, node.is_async)


def _can_go(node: ast.AST) -> bool:
    """True if a statement can be left out and the rest is still valid."""
    match node:
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Continue() | ast.Break():
            return True
        case ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.Return(None):
            return True
    return False
