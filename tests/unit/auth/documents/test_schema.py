"""The JSON Schema of policy documents has the same keys as the reader."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.documents.nodes import DocumentInvalid
from mqguard.auth.documents.reader import read_document
from mqguard.auth.documents.schema import SOURCE, schema
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Action
from mqguard.auth.source import Source
from mqguard.auth.verdict import Reason
from tests.property.analysis.universe import effort


def test_every_reference_has_its_definition():
    """The schema is whole: each `$ref` leads to a definition, and each definition is used."""
    text = json.dumps(schema())
    defined = set(schema()["$defs"])
    used = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}

    assert used == defined


def test_objects_reject_unknown_keys():
    """The schema rejects unknown keys, like the reader."""
    definitions = schema()["$defs"]

    for name in ("secret", "entry", "test"):
        assert definitions[name]["additionalProperties"] is False
    assert schema()["additionalProperties"] is False
    assert schema()["required"] == ["version"]


KINDS = {
    "null": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
KEYWORDS = {
    *("$schema", "title", "description", "$defs", "$ref", "enum", "oneOf", "anyOf", "type", "pattern", "items"),
    *("minItems", "uniqueItems", "properties", "additionalProperties", "required", "propertyNames"),
    *("minProperties", "maxProperties"),
}


def matches(pattern, text):
    """Match like ECMAScript, where `$` is only the end of the text."""
    return re.search(pattern.removesuffix("$") + "\\Z" if pattern.endswith("$") else pattern, text) is not None


def fits(value, rule, root):
    """Return True if a value fits a schema. Only the keywords of the published schema are implemented."""
    assert set(rule) <= KEYWORDS
    if "$ref" in rule and not fits(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root):
        return False
    if "enum" in rule and not any(type(value) is type(one) and value == one for one in rule["enum"]):
        return False
    if "oneOf" in rule and sum(fits(value, one, root) for one in rule["oneOf"]) != 1:
        return False
    if "anyOf" in rule and not any(fits(value, one, root) for one in rule["anyOf"]):
        return False
    kinds = rule.get("type", list(KINDS))
    if not any(KINDS[kind](value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, str):
        return matches(rule.get("pattern", ""), value)
    if isinstance(value, list):
        # As JSON: there 0 and false are two things.
        if rule.get("uniqueItems") and len({json.dumps(one) for one in value}) < len(value):
            return False
        return len(value) >= rule.get("minItems", 0) and all(fits(one, rule.get("items", {}), root) for one in value)
    if isinstance(value, dict):
        return fits_object(value, rule, root)
    return True


def fits_object(value, rule, root):
    properties, more = rule.get("properties", {}), rule.get("additionalProperties", True)
    if not set(rule.get("required", ())) <= set(value):
        return False
    if not rule.get("minProperties", 0) <= len(value) <= rule.get("maxProperties", len(value)):
        return False
    for key, one in value.items():
        if key in properties:
            if not fits(one, properties[key], root):
                return False
        elif more is False or (more is not True and not fits(one, more, root)):
            return False
        if "propertyNames" in rule and not fits(key, rule["propertyNames"], root):
            return False
    return True


BASE = {"version": 1}
ENTRY = {"resource": "Topic:a", "actions": "Pub", "decision": "Allow"}
TEST = {"user": "u", "action": "Pub", "resource": "*", "must": "allow"}


def with_entry(**changed):
    entry = {key: value for key, value in {**ENTRY, **changed}.items() if value is not ...}
    return {**BASE, "policies": {"User:u": {"custom": [entry]}}}


@pytest.mark.parametrize(
    "document",
    [
        BASE,
        {**BASE, "users": {"u": {}, "v": {"type": "Super", "status": "disable", "secret": {"env": "X"}}}},
        {**BASE, "users": {"u": {"secret": {"file": "a/b"}}}},
        with_entry(),
        with_entry(resource=["Topic:a*", "Group:*", "*"], actions=["Pub", "All"], sources=["10.0.0.0/8", "::1"]),
        {**BASE, "entry_groups": {"g": [ENTRY]}, "policies": {"User:u": {"custom": [{"use": "g"}, ENTRY]}}},
        {**BASE, "policies": {"User:u": {"default": []}, "user:v": None}, "users": {"u": None}},
        {**BASE, "tests": [TEST, {**TEST, "from": "10.0.0.0/8", "reason": "super", "user": ["u", "v"]}]},
        {"version": "1", "users": {"u": {"type": "SUPER", "status": "Disable", "secret": {"file": 5}}}},
        {**BASE, "users": {"u": {"secret": {"env": True}}}},
        with_entry(resource="topic:a", actions=["PUB", "sub"], decision="ALLOW"),
        with_entry(sources=["0.0.0.0/032", "1:2::3/0", "::ffff:10.0.0.1", "1::", "::", "::1.2.3.4"]),
        {**BASE, "tests": [{**TEST, "user": [True, 1.5, "null"], "must": "DENY", "reason": "NO-MATCH"}]},
    ],
)
def test_accepted_documents_fit_the_schema(document):
    """The reader accepts the document, and so does the schema."""
    assert fits(document, schema(), schema())
    read_document(json.dumps(document))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 2},
        {**BASE, "extra": {}},
        {**BASE, "users": []},
        {**BASE, "users": {"u": {"type": "King"}}},
        {**BASE, "users": {"u": {"secret": "hush"}}},
        {**BASE, "users": {"u": {"secret": {"env": "X", "file": "Y"}}}},
        {**BASE, "users": {"u": {"secret": {}}}},
        {**BASE, "policies": {"u": {"custom": []}}},
        {**BASE, "policies": {"User:": {"custom": []}}},
        {**BASE, "policies": {"User": {"custom": []}}},
        {**BASE, "policies": {"User:\u3000": {"custom": []}}},
        {**BASE, "policies": {"User:u": {"custum": []}}},
        {**BASE, "users": {" ": {}}},
        {**BASE, "users": {"u": {"secret": {"env": " "}}}},
        {**BASE, "users": {"u": {"secret": {"env": None}}}},
        {**BASE, "users": {"u": {"secret": {"env": 5}}}},
        {**BASE, "users": {"u": {"secret": {"env": "A-B"}}}},
        {**BASE, "users": {"u": {"secret": {"env": "AB\n"}}}},
        {**BASE, "policies": {"User:u": {"custom": ENTRY}}},
        with_entry(resource=...),
        with_entry(actions=...),
        with_entry(decision=...),
        with_entry(resource="Topic:a*b"),
        with_entry(resource="Topic"),
        with_entry(resource="Topics:a"),
        with_entry(resource="Topic:"),
        with_entry(resource="**"),
        with_entry(resource=[]),
        with_entry(resource=["*", "*"]),
        with_entry(sources="10.0.0.1-10"),
        with_entry(sources="10.0.0.0/33"),
        with_entry(sources="010.0.0.1"),
        with_entry(sources="1:2:3:4:5:6:7::8:9"),
        with_entry(sources="::/129"),
        with_entry(sources="fe80::1%eth0"),
        with_entry(actions="Publish"),
        with_entry(actions=[]),
        with_entry(sources=[]),
        with_entry(decision="Maybe"),
        with_entry(use="g"),
        {**BASE, "tests": [{**TEST, "must": "pass"}]},
        {**BASE, "tests": [{**TEST, "reason": "because"}]},
        {**BASE, "tests": [{**TEST, "reason": "un\u212anown-user"}]},
        {**BASE, "tests": [{"user": "u"}]},
    ],
)
def test_documents_outside_the_schema_are_rejected(document):
    """The schema rejects the document, and so does the reader."""
    assert not fits(document, schema(), schema())
    with pytest.raises(DocumentInvalid):
        read_document(json.dumps(document))


# Rules that a schema cannot express: those that depend on other parts, and ranges without a meaning.
BEYOND_SCHEMA = re.compile(
    "unknown entry group|is repeated: put|names `.*` twice|`::ffff:.* is not a valid source address", re.IGNORECASE
)

texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), min_size=1, max_size=3)
scalars = st.one_of(
    texts, st.sampled_from(["", " ", "\u3000", "null", "~"]), st.integers(0, 99), st.booleans(), st.none()
)
names = st.sampled_from(["a", "b", "null", "0123", "*"])


def one_or_more(item):
    return st.one_of(item, st.lists(item, min_size=1, max_size=2))


def cased(*words):
    return st.sampled_from([form(word) for word in words for form in (str, str, str.upper, str.lower)])


keys = st.sampled_from(["*", "Topic:a", "topic:a*", "GROUP:*", "Cluster:a:b", "Topic:a\n", "Namespace: "])
addresses = st.sampled_from(["10.0.0.0/8", "::1", "10.0.0.1", "::/0", "::ffff:10.0.0.0/104", "1:2::3:4/64"])
actions = cased(*(action.value for action in Action))
entries = st.fixed_dictionaries(
    {"resource": one_or_more(keys), "actions": one_or_more(actions), "decision": cased("Allow", "Deny")},
    optional={"sources": one_or_more(addresses)},
)
uses = st.fixed_dictionaries({"use": one_or_more(st.sampled_from(["g", "h"]))})
secrets = st.one_of(
    st.fixed_dictionaries({"env": st.sampled_from(["A", "_a1"])}), st.fixed_dictionaries({"file": st.integers(0, 9)})
)
users = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {}, optional={"type": cased("Super", "Normal"), "status": cased("enable", "disable"), "secret": secrets}
    ),
)
policies = st.fixed_dictionaries(
    {}, optional={key: st.lists(st.one_of(entries, uses), max_size=2) for key in ("custom", "default")}
)
tests = st.fixed_dictionaries(
    {
        "user": one_or_more(st.one_of(names, st.integers(0, 9), st.booleans())),
        "action": one_or_more(actions),
        "resource": one_or_more(keys),
        "must": cased("allow", "deny"),
    },
    optional={"from": one_or_more(addresses), "reason": cased(*(reason.value for reason in Reason))},
)
documents = st.fixed_dictionaries(
    {"version": st.sampled_from([1, "1"])},
    optional={
        "users": st.dictionaries(names, users, max_size=2),
        "entry_groups": st.dictionaries(st.sampled_from(["g", "h"]), st.lists(entries, max_size=2), max_size=2),
        "policies": st.dictionaries(names.map("User:{}".format), st.one_of(st.none(), policies), max_size=2),
        "tests": st.lists(tests, max_size=2),
    },
)
WRONG_KEYS = ["other", "User", "User:", "user:a", "Group:a", "a", " ", "use", "env", "reason", "resource"]
WRONG = [
    "Any",
    "All",
    "Pub",
    "allow",
    "Topic",
    "Topic:",
    "Any:a",
    "*a",
    "Topic:**",
    "10.0.0.1-9",
    "::ffff:10.0.0.0/40",
    "1.2.3",
]


def places(value):
    """Return every mapping and list in a document, with its keys or indexes."""
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, one in pairs:
        yield value, key
        yield from places(one)


@st.composite
def mutated(draw):
    """Return a document with one mistake: another value, a missing value, or an additional one."""
    document = draw(documents)
    holder, key = draw(st.sampled_from(list(places(document))))
    slip = draw(st.sampled_from(["other", "missing", "more", "listed", "alone"]))
    if slip == "missing":
        del holder[key]
    elif slip == "more" and isinstance(holder, dict):
        holder[draw(st.sampled_from(WRONG_KEYS))] = draw(st.one_of(scalars, st.just({}), st.just([])))
    elif slip == "more":
        holder.append(draw(st.one_of(scalars, st.just(holder[0]))))
    elif slip == "listed":
        holder[key] = [holder[key]]
    elif slip == "alone" and isinstance(holder[key], list) and holder[key]:
        holder[key] = holder[key][0]
    else:
        holder[key] = draw(st.one_of(scalars, st.sampled_from(WRONG), st.just([]), st.just({})))
    return document


def problems_of(text):
    try:
        read_document(text)
    except DocumentInvalid as error:
        return error.problems
    return ()


@given(st.one_of(documents, mutated()))
@effort(300)
def test_reader_and_schema_accept_the_same(document):
    """Both accept the same documents, except for rules that a schema cannot express."""
    told = schema()
    text = json.dumps(document, ensure_ascii=False)
    if not fits(document, told, told):
        with pytest.raises(DocumentInvalid):
            read_document(text)
        return
    assert all(BEYOND_SCHEMA.search(problem.message) for problem in problems_of(text))


@given(
    st.one_of(
        st.text("0123456789abcdefABCDEF:./", max_size=24),
        st.ip_addresses().map(str),
        st.builds("{}/{}{}".format, st.ip_addresses(), st.sampled_from(["", "0", "00"]), st.integers(0, 140)),
        st.builds("{}:{}".format, st.ip_addresses(v=6), st.ip_addresses(v=4)),
        st.builds("{}::{}".format, st.text("1:", max_size=12), st.text("1:", max_size=12)),
    )
)
@effort(300)
def test_the_pattern_of_sources_is_the_parser(text):
    """The pattern matches addresses and ranges of both families in all notations that the parser accepts."""
    try:
        Source.parse(text)
    except PolicyInvalid:
        assert not matches(SOURCE, text) or re.match("[0:]*:ffff:", text, re.IGNORECASE)
    else:
        assert matches(SOURCE, text)
