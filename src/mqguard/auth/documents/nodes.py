"""YAML text as a tree in which every node knows its place.

Scalars keep the text that was written, so that `00123`, `no` or `1e3` mean what they say. Refused, with their place:
anchors and aliases (a document of a kilobyte could unfold to gigabytes), tags, more than one document, repeated keys.
"""

import dataclasses
from collections.abc import Callable, Iterator

import yaml

from mqguard.auth.documents.problems import DocumentInvalid, Mark, Problem

MAX_DEPTH = 32
"""Deeper than any document needs; bounds the recursion of those who walk the tree."""

# Not what was written: it may be a secret that begins with `!`.
_NO_TAGS = "tags are not read: leave out what begins with `!`, or write the text in quotes if it is one that does"

_NULLS = ("", "~", "null", "Null", "NULL")
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar:
    """A text.

    Attributes:
        text: As written; of a quoted scalar, what the quotes hold.
        quoted: Whether it was quoted or a block, so that `"null"` is a text.
    """

    mark: Mark
    text: str
    quoted: bool

    @property
    def is_null(self) -> bool:
        """Whether nothing was written, or the word for nothing."""
        return not self.quoted and self.text in _NULLS


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    mark: Mark
    items: "tuple[Node, ...]"


@dataclasses.dataclass(frozen=True, slots=True)
class MappingNode:
    """Keys and values in the order of the file; keys are texts, and no key is repeated."""

    mark: Mark
    pairs: "tuple[tuple[Scalar, Node], ...]"


Node = Scalar | Listing | MappingNode


def compose(text: str) -> Node | None:
    """Read one YAML document; None if there is nothing in it.

    Raises:
        DocumentInvalid: It is no YAML, or uses what is refused; the first such place.
    """
    try:
        return _Composer(_events(text)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)
        raise DocumentInvalid([Problem(place, f"this is no YAML: {_reason(text, place, error.problem)}")]) from None
    except yaml.reader.ReaderError as error:
        raise DocumentInvalid([_unreadable(text, error)]) from None
    except (yaml.YAMLError, UnicodeError):
        raise DocumentInvalid([Problem(Mark(1, 1), "this is no YAML")]) from None


def _events(text: str) -> Iterator[yaml.Event]:
    # What `yaml.parse` does, with half its calls: a large file has a million events.
    loader = _Loader(text)
    try:
        while (event := loader.get_event()) is not None:
            yield event
    finally:
        loader.dispose()


class _Composer:
    """Builds the tree from events, which come without recursion."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _refused(event, "a second document starts here: write one document to a file")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        if isinstance(root, Scalar) and root.is_null:
            return None
        return root

    def _node(self, event: yaml.NodeEvent, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refused(event, "anchors and aliases are not read: write the value out wherever it is meant")
        if depth > MAX_DEPTH:
            raise _refused(event, f"nested deeper than {MAX_DEPTH} levels")
        build: Callable[[yaml.NodeEvent, int], Node]
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.CollectionStartEvent) and event.tag not in (None, "!"):
            raise _refused(event, _NO_TAGS)
        build = self._listing if isinstance(event, yaml.SequenceStartEvent) else self._mapping
        return build(event, depth)

    def _listing(self, start: yaml.NodeEvent, depth: int) -> Listing:
        items = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            if isinstance(event, yaml.NodeEvent):
                items.append(self._node(event, depth + 1))
        return Listing(_mark(start), tuple(items))

    def _mapping(self, start: yaml.NodeEvent, depth: int) -> MappingNode:
        pairs: list[tuple[Scalar, Node]] = []
        seen: dict[str, Mark] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.NodeEvent):
                continue
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise _refused(event, "a key is a text, not a list or a mapping")
            if key.text in seen:
                raise _refused(event, f"the key `{key.text}` is repeated: it stands at {seen[key.text]} already")
            seen[key.text] = key.mark
            pairs.append((key, self._value(depth + 1)))
        return MappingNode(_mark(start), tuple(pairs))

    def _value(self, depth: int) -> Node:
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                return self._node(event, depth)
        raise AssertionError("the parser gives a value for each key")


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    if event.tag not in (None, "!"):
        raise _refused(event, _NO_TAGS)
    return Scalar(_mark(event), event.value, quoted=event.style not in (None, ""))


def _mark(event: yaml.Event) -> Mark:
    if event.start_mark is None:
        return Mark(1, 1)
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _refused(event: yaml.Event, message: str) -> DocumentInvalid:
    return DocumentInvalid([Problem(_mark(event), message)])


def _unreadable(text: str, error: yaml.reader.ReaderError) -> Problem:
    before = text[: error.position]
    place = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Problem(place, "a character that YAML does not allow stands here")


def _reason(text: str, place: Mark, problem: str | None) -> str:
    """What the parser says, but for tabs, of which it speaks in riddles."""
    lines = text.split("\n", place.line)
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[place.column - 1 : place.column] or "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab stands where blanks must: indent with blanks"
    return " ".join((problem or "it cannot be read").split())
