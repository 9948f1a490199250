"""The reader of policy documents: YAML text in, values out, or every problem with its position."""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from mqguard.auth.analysis.access_state import EntryLocation
from mqguard.auth.documents.document import Assertion, Document, DocumentUser, SecretPlace, SecretReference
from mqguard.auth.documents.node_reader import NodeReader, choice
from mqguard.auth.documents.nodes import MappingNode, Mark, Node, Scalar, compose, nearest
from mqguard.auth.documents.schema import (
    DOCUMENT,
    ENTRY,
    POLICIES,
    POLICY_KEYS,
    SECRET,
    TEST,
    USE,
    USER,
    VARIABLE,
    VERSION,
    Fields,
)
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import Subject, UserStatus, UserType
from mqguard.auth.verdict import Reason
from mqguard.model.text import is_blank

_must = choice("outcome", {"allow": Decision.ALLOW, "deny": Decision.DENY})
_reason = choice("reason", {reason.value: reason for reason in Reason})

_SECRET_KEYS = frozenset(place.value for place in SecretPlace)

T = TypeVar("T")
_MarkedEntry = tuple[Mark, Entry]


def read_document(text: str) -> Document:
    """Parse a policy document.

    Raises:
        DocumentInvalid: There are problems; the error has each with its line and column.
    """
    root = compose(text)
    reader = _DocumentReader()
    document = reader.document(root if root is not None else MappingNode(Mark(1, 1), ()))
    reader.nodes.finish()
    return document


class _DocumentReader:
    def __init__(self) -> None:
        self.nodes = NodeReader()
        self._groups: dict[str, list[_MarkedEntry]] = {}
        self._places: dict[EntryLocation, Mark] = {}
        self._subjects: dict[str, Mark] = {}

    def document(self, root: Node) -> Document:
        found = self.nodes.fields(root, "the document", DOCUMENT)
        if "version" in found:
            self.nodes.parsed(found["version"], "`version`", choice("version", {VERSION: 1}))
        users = self._users(found.get("users"))
        self._read_groups(found.get("entry_groups"))
        acls = self._acls(found.get("policies"))
        tests = self._tests(found.get("tests"))
        return Document(users, acls, tests, self._places, self._subjects)

    def _users(self, node: Node | None) -> dict[str, DocumentUser]:
        users: dict[str, DocumentUser] = {}
        for key, value in self.nodes.pairs(node, "`users`") if node is not None else ():
            if is_blank(key.text):
                self.nodes.note(key.mark, "a user has no name: write `name:` before its fields")
                continue
            found = self._optional(value, f"user `{key.text}`", USER)
            kind = self._choice(found.get("type"), "`type`", UserType.parse, UserType.NORMAL)
            status = self._choice(found.get("status"), "`status`", UserStatus.parse, UserStatus.ENABLE)
            secret = self._secret(found.get("secret"))
            known = self.nodes.one_or_more(found.get("incarnation"), "`incarnation`", _name, optional=True)
            users[key.text] = DocumentUser(key.text, kind, status, secret, key.mark, known)
        return users

    def _secret(self, node: Node | None) -> SecretReference | None:
        if node is None:
            return None
        if not isinstance(node, MappingNode):
            self.nodes.note(
                node.mark,
                "a document never contains a secret: refer to it, `secret: {env: NAME}` or `secret: {file: PATH}`",
            )
            return None
        for key, _ in node.pairs:
            if key.text not in _SECRET_KEYS:
                # The message does not quote the text: it may be the secret itself, as in `{s3cret}`.
                self.nodes.note(
                    key.mark, "a secret has one key, `env` or `file`: write `{env: NAME}` or `{file: PATH}`"
                )
                return None
        if len(node.pairs) != 1:
            self.nodes.note(node.mark, "a secret has exactly one place: write `{env: NAME}` or `{file: PATH}`")
            return None
        found = self.nodes.fields(node, "`secret`", SECRET)
        for place in SecretPlace:
            if place.value in found:
                parse = _variable if place is SecretPlace.ENV else _name
                name = self.nodes.parsed(found[place.value], f"`{place.value}`", parse)
                return None if name is None else SecretReference(place, name, node.mark)
        return None

    def _read_groups(self, node: Node | None) -> None:
        for key, value in self.nodes.pairs(node, "`entry_groups`") if node is not None else ():
            what = f"entry group `{key.text}`"
            items = self.nodes.items(value, what)
            self._groups[key.text] = [entry for item in items for entry in self._entry(item, f"an entry of {what}")]

    def _acls(self, node: Node | None) -> dict[str, Acl]:
        acls: dict[str, Acl] = {}
        for key, value in self.nodes.pairs(node, "`policies`") if node is not None else ():
            subject = self.nodes.parsed(key, "a subject of `policies`", _subject)
            if subject is None:
                continue
            if subject.name in acls:
                self.nodes.note(key.mark, f"the subject `{subject.key}` is repeated: merge its policies")
                continue
            self._subjects[subject.name] = key.mark
            acls[subject.name] = Acl(subject, tuple(self._policies(subject, value)))
        return acls

    def _policies(self, subject: Subject, node: Node) -> Iterable[Policy]:
        found = self._optional(node, f"the policies of `{subject.key}`", POLICIES)
        for kind, name in POLICY_KEYS.items():
            if name not in found:
                continue
            marked = list(self._uses(found[name], f"`{name}` of `{subject.key}`"))
            for number, (mark, _) in enumerate(marked, 1):
                self._places[EntryLocation(subject.name, kind, number)] = mark
            if marked:
                yield Policy(kind, tuple(entry for _, entry in marked))

    def _uses(self, node: Node, what: str) -> Iterable[_MarkedEntry]:
        for item in self.nodes.items(node, what):
            if not isinstance(item, MappingNode) or all(key.text != "use" for key, _ in item.pairs):
                yield from self._entry(item, f"an entry of {what}")
                continue
            found = self.nodes.fields(item, f"`use` in {what}", USE)
            if "use" in found:
                for name in self.nodes.one_or_more(found["use"], "`use`", self._group_name):
                    yield from self._groups[name]

    def _group_name(self, text: str) -> str:
        if text not in self._groups:
            raise PolicyInvalid(f"unknown entry group `{text}`: {nearest(text, self._groups)}")
        return text

    def _entry(self, node: Node, what: str) -> list[_MarkedEntry]:
        """Return the entries of one item, one for each resource that it names."""
        found = self.nodes.fields(node, what, ENTRY)
        resources = self.nodes.one_or_more(found.get("resource"), "`resource`", Resource.parse)
        actions = self.nodes.one_or_more(found.get("actions"), "`actions`", Action.parse)
        sources = self.nodes.one_or_more(found.get("sources"), "`sources`", Source.parse, optional=True)
        decision = self._choice(found.get("decision"), "`decision`", Decision.parse, Decision.DENY)
        if not actions:
            return []
        return [(node.mark, Entry(resource, actions, sources, decision)) for resource in resources]

    def _tests(self, node: Node | None) -> tuple[Assertion, ...]:
        items = self.nodes.items(node, "`tests`") if node is not None else ()
        return tuple(self._test(item) for item in items)

    def _test(self, node: Node) -> Assertion:
        found = self.nodes.fields(node, "a test", TEST)
        return Assertion(
            self.nodes.one_or_more(found.get("user"), "`user`", _name),
            self.nodes.one_or_more(found.get("action"), "`action`", Action.parse),
            self.nodes.one_or_more(found.get("resource"), "`resource`", Resource.parse),
            self.nodes.one_or_more(found.get("from"), "`from`", Source.parse, optional=True),
            self._choice(found.get("must"), "`must`", _must, Decision.DENY),
            self._choice(found.get("reason"), "`reason`", _reason, None),
            node.mark,
        )

    def _optional(self, node: Node, what: str, fields: Fields) -> dict[str, Node]:
        """Return the fields of a mapping; an empty value is an empty mapping."""
        if isinstance(node, Scalar) and node.is_null:
            return {}
        return self.nodes.fields(node, what, fields)

    def _choice(self, node: Node | None, what: str, parse: Callable[[str], T], otherwise: T) -> T:
        found = None if node is None else self.nodes.parsed(node, what, parse)
        return otherwise if found is None else found


def _variable(text: str) -> str:
    if re.fullmatch(VARIABLE, text) is None:
        # The message does not quote the text: it may be the secret itself.
        raise PolicyInvalid("`env` must be the name of a variable: letters, digits and `_`")
    return text


def _name(text: str) -> str:
    return text


def _subject(key: str) -> Subject:
    subject = Subject.parse(key)
    if is_blank(subject.name):
        raise PolicyInvalid(f"`{key}` has no user name: write `User:name`")
    return subject
