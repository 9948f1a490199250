"""Conversion of a tree of YAML nodes to values, with a list of all problems."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from mqguard.auth.documents.nodes import (
    DocumentInvalid,
    MappingNode,
    Mark,
    Node,
    Problem,
    Scalar,
    SequenceNode,
    nearest,
)
from mqguard.auth.documents.schema import Fields
from mqguard.auth.errors import PolicyInvalid
from mqguard.model.text import is_blank, lower_ascii

T = TypeVar("T")


class NodeReader:
    """Collects problems. A method that finds one records it and returns None or less; only `finish` raises."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def finish(self) -> None:
        """Finish the conversion.

        Raises:
            DocumentInvalid: There was a problem; the error has all of them.
        """
        if self.problems:
            raise DocumentInvalid(self.problems)

    def note(self, mark: Mark, message: str) -> None:
        """Record a problem at a position."""
        self.problems.append(Problem(mark, message))

    def fields(self, node: Node, what: str, fields: Fields) -> dict[str, Node]:
        """Return the values of a mapping with fixed keys, without unknown keys and keys without a value."""
        found: dict[str, Node] = {}
        names = [field.name for field in fields]
        for key, value in self.pairs(node, what):
            if key.text not in names:
                self.note(key.mark, f"unknown key `{key.text}` in {what}: {nearest(key.text, names)}")
            elif isinstance(value, Scalar) and value.is_null:
                self.note(value.mark, f"`{key.text}` has no value: write one, or leave the key out")
            else:
                found[key.text] = value
        if isinstance(node, MappingNode):
            written = {key.text for key, _ in node.pairs}
            for field in fields:
                if field.required and field.name not in written:
                    self.note(node.mark, f"{what} has no `{field.name}`: {field.about}")
        return found

    def pairs(self, node: Node, what: str) -> Iterable[tuple[Scalar, Node]]:
        """Return the keys and values of a mapping with free keys."""
        if isinstance(node, MappingNode):
            return node.pairs
        self.note(node.mark, f"{what} must be a mapping of `key: value` lines, not {_kind(node)}")
        return ()

    def items(self, node: Node, what: str) -> Iterable[Node]:
        """Return the items of a list."""
        if isinstance(node, SequenceNode):
            return node.items
        self.note(node.mark, f"{what} must be a list of `- item` lines, not {_kind(node)}")
        return ()

    def text(self, node: Node, what: str) -> str | None:
        """Return a text that is not blank."""
        if isinstance(node, Scalar) and not node.is_null and not is_blank(node.text):
            return node.text
        self.note(node.mark, f"{what} must be a text, not {_kind(node)}")
        return None

    def parsed(self, node: Node, what: str, parse: Callable[[str], T]) -> T | None:
        """Return a text parsed by a function that raises PolicyInvalid."""
        text = self.text(node, what)
        if text is None:
            return None
        try:
            return parse(text)
        except PolicyInvalid as error:
            self.note(node.mark, str(error))
            return None

    def one_or_more(
        self, node: Node | None, what: str, parse: Callable[[str], T], *, optional: bool = False
    ) -> tuple[T, ...]:
        """Return one text, or at least one from a list, each parsed by a function that raises PolicyInvalid.

        Args:
            node: The value; None if `fields` left it out.
            what: The key, for messages.
            parse: Parses one text.
            optional: True if the key may be absent, for messages.
        """
        if node is None:
            return ()
        if not isinstance(node, SequenceNode):
            value = self.parsed(node, what, parse)
            return () if value is None else (value,)
        if not node.items:
            remedy = "name at least one, or leave the key out" if optional else "name at least one"
            self.note(node.mark, f"{what} is an empty list: {remedy}")
        found: dict[T, None] = {}
        for item in node.items:
            value = self.parsed(item, f"an item of {what}", parse)
            if value is not None and value in found and isinstance(item, Scalar):
                self.note(item.mark, f"{what} names `{item.text}` twice: name it once")
            elif value is not None:
                found[value] = None
        return tuple(found)


def choice(what: str, values: Mapping[str, T]) -> Callable[[str], T]:
    """Return a parser for one of these words, in any letter case."""
    known = {word.lower(): value for word, value in values.items()}

    def parse(text: str) -> T:
        found = known.get(lower_ascii(text))
        if found is None:
            raise PolicyInvalid(f"unknown {what} `{text}`: write " + " or ".join(f"`{word}`" for word in values))
        return found

    return parse


def _kind(node: Node) -> str:
    # The message never quotes the text: it may be a secret, written here by mistake.
    if isinstance(node, SequenceNode):
        return "a list"
    if isinstance(node, MappingNode):
        return "a mapping"
    return "nothing" if node.is_null or is_blank(node.text) else "a text"
