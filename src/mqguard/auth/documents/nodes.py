"""YAML text as a tree of nodes with positions.

Scalars keep the written text, so that `00123`, `no` or `1e3` stay texts. The reader rejects, with the position: anchors
and aliases (a document of a kilobyte could expand to gigabytes), tags, more than one document, repeated keys.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator

import yaml

from mqguard.auth.errors import PolicyInvalid
from mqguard.model.text import visible


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A position in a file; lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        mark: The position.
        message: The problem, and the correct form.
    """

    mark: Mark
    message: str


class DocumentInvalid(PolicyInvalid):
    """A document that cannot be used.

    Attributes:
        problems: Every problem, in the order of the file; at least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        # Messages quote the file, including line ends, so each is made one visible line.
        shown = (Problem(problem.mark, visible(problem.message)) for problem in problems)
        self.problems = tuple(sorted(shown, key=lambda problem: problem.mark))
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{first.mark}: {first.message}{more}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known word, or the list of all known words."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known names are " + ", ".join(f"`{one}`" for one in known) if known else "no names are known"


MAX_DEPTH = 32
"""More than any document needs; limits the recursion of code that reads the tree."""

# The message does not quote the text: it may be a secret that begins with `!`.
_NO_TAGS = "tags are not supported: remove the part that begins with `!`, or quote the text if it begins with `!`"

_NULLS = ("", "~", "null", "Null", "NULL")
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar:
    """A text.

    Attributes:
        text: The written text; for a quoted scalar, the text inside the quotes.
        quoted: True if it was quoted or a block, so that `"null"` is a text.
    """

    mark: Mark
    text: str
    quoted: bool

    @property
    def is_null(self) -> bool:
        """True if the value is empty or a word for null."""
        return not self.quoted and self.text in _NULLS


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    mark: Mark
    items: "tuple[Node, ...]"


@dataclasses.dataclass(frozen=True, slots=True)
class MappingNode:
    """Keys and values in the order of the file; keys are texts, and no key is repeated."""

    mark: Mark
    pairs: "tuple[tuple[Scalar, Node], ...]"


Node = Scalar | SequenceNode | MappingNode


def compose(text: str) -> Node | None:
    """Parse one YAML document; return None if it is empty.

    Raises:
        DocumentInvalid: The text is not YAML, or uses rejected syntax; the first such position.
    """
    try:
        return _Composer(_events(text)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)
        raise DocumentInvalid(
            [Problem(place, f"this is not valid YAML: {_reason(text, place, error.problem)}")]
        ) from None
    except yaml.reader.ReaderError as error:
        raise DocumentInvalid([_unreadable(text, error)]) from None
    except (yaml.YAMLError, UnicodeError):
        raise DocumentInvalid([Problem(Mark(1, 1), "this is not valid YAML")]) from None


def _events(text: str) -> Iterator[yaml.Event]:
    # Equivalent to `yaml.parse`, with half its calls: a large file has a million events.
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
                    raise _refused(event, "a second document starts here: write one document per file")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        if isinstance(root, Scalar) and root.is_null:
            return None
        return root

    def _node(self, event: yaml.NodeEvent, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refused(event, "anchors and aliases are not supported: repeat the value instead")
        if depth > MAX_DEPTH:
            raise _refused(event, f"the document is nested deeper than {MAX_DEPTH} levels")
        build: Callable[[yaml.NodeEvent, int], Node]
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.CollectionStartEvent) and event.tag not in (None, "!"):
            raise _refused(event, _NO_TAGS)
        build = self._listing if isinstance(event, yaml.SequenceStartEvent) else self._mapping
        return build(event, depth)

    def _listing(self, start: yaml.NodeEvent, depth: int) -> SequenceNode:
        items = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            if isinstance(event, yaml.NodeEvent):
                items.append(self._node(event, depth + 1))
        return SequenceNode(_mark(start), tuple(items))

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
                raise _refused(event, "a key must be a text, not a list or a mapping")
            if key.text in seen:
                raise _refused(event, f"the key `{key.text}` is repeated: its first position is {seen[key.text]}")
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
    return Problem(place, "YAML does not allow this character")


def _reason(text: str, place: Mark, problem: str | None) -> str:
    """Return the parser's message, or a clear one for tabs."""
    lines = text.split("\n", place.line)
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[place.column - 1 : place.column] or "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab is not valid indentation: indent with spaces"
    return " ".join((problem or "the text cannot be parsed").split())
