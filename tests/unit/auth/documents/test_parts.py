"""Each problem names the part of the document, and is reported once."""

import pytest

from mqguard.auth.documents.nodes import DocumentInvalid
from mqguard.auth.documents.reader import read_document
from mqguard.auth.policy import Action, Decision, PolicyType
from mqguard.auth.user import UserStatus, UserType
from mqguard.auth.verdict import Reason

ENTRY = {"resource": "Topic:a", "actions": "Pub", "decision": "Allow"}
TEST = {"user": "u", "action": "Pub", "resource": "Topic:a", "must": "allow"}


def flow(mapping):
    return "{" + ", ".join(f"{key}: {value}" for key, value in mapping.items()) + "}"


def entry(**changed):
    return f"policies: {{User:u: {{custom: [{flow(ENTRY | changed)}]}}}}"


def claim(**changed):
    return f"tests: [{flow(TEST | changed)}]"


def invalid(text):
    with pytest.raises(DocumentInvalid) as caught:
        read_document(text)
    return caught.value


def problems(text):
    return [problem.message for problem in invalid(text).problems]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("users: {u: {type: {}}}", "`type`"),
        ("users: {u: {status: {}}}", "`status`"),
        ("users: {u: {secret: {env: {}}}}", "`env`"),
        ("users: {u: {secret: {file: {}}}}", "`file`"),
        (entry(resource="{}"), "`resource`"),
        (entry(resource="[{}]"), "an item of `resource`"),
        (entry(actions="{}"), "`actions`"),
        (entry(actions="[{}]"), "an item of `actions`"),
        (entry(sources="{}"), "`sources`"),
        (entry(sources="[{}]"), "an item of `sources`"),
        (entry(decision="{}"), "`decision`"),
        ("policies: {User:u: {custom: [{use: {}}]}}", "`use`"),
        (claim(user="{}"), "`user`"),
        (claim(action="{}"), "`action`"),
        (claim(resource="{}"), "`resource`"),
        (claim(**{"from": "{}"}), "`from`"),
        (claim(must="{}"), "`must`"),
        (claim(reason="{}"), "`reason`"),
    ],
)
def test_a_part_that_must_be_a_text_is_named(text, part):
    """The document has a mapping instead of a text."""
    assert problems(f"version: 1\n{text}\n") == [f"{part} must be a text, not a mapping"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: []", "`version` must be a text, not a list"),
        ("version: 1\nusers: a", "`users` must be a mapping of `key: value` lines, not a text"),
        ("version: 1\nentry_groups: ' '", "`entry_groups` must be a mapping of `key: value` lines, not nothing"),
        ("version: 1\npolicies: [a]", "`policies` must be a mapping of `key: value` lines, not a list"),
        ("version: 1\npolicies: {~: {}}", "a subject of `policies` must be a text, not nothing"),
        ("version: 1\npolicies: {User:u: []}", "the policies of `User:u` must be a mapping of `key: value` lines, not a list"),
        (
            "version: 1\npolicies: {User:u: {default: {}}}",
            "`default` of `User:u` must be a list of `- item` lines, not a mapping",
        ),
        ("version: 1\ntests: {}", "`tests` must be a list of `- item` lines, not a mapping"),
        ("version: 1\nentry_groups: {g: [a]}", "an entry of entry group `g` must be a mapping of `key: value` lines, not a text"),
        ("version: 1\nusers: {u: {status: off}}", "unknown user status `off`: write `enable` or `disable`"),
        ("version: 1\nusers: {u: {secret: {env: }}}", "`env` has no value: write one, or leave the key out"),
        (f"version: 1\n{claim(user='[]')}", "`user` is an empty list: name at least one"),
        (f"version: 1\n{entry(resource='[]')}", "`resource` is an empty list: name at least one"),
        (f"version: 1\n{entry(sources='[]')}", "`sources` is an empty list: name at least one, or leave the key out"),
        ("version: 1\npolicies: {User:u: {custom: [{use: g}]}}", "unknown entry group `g`: no names are known"),
        # There is one problem, because the content of such a part is not checked.
        ("version: 1\nusers: {' ': {type: King}}", "a user has no name: write `name:` before its fields"),
        (
            "version: 1\npolicies: {User:u: {}, user:u: {custom: a}}",
            "the subject `User:u` is repeated: merge its policies",
        ),
    ],
)  # fmt: skip
def test_a_part_of_another_kind_is_reported_once(text, message):
    """The problem names the expected and the found kind, and there is no other problem."""
    assert problems(text) == [message]


@pytest.mark.parametrize("word", ["", "~", "null", "Null", "NULL"])
def test_the_words_for_null_are_those_of_yaml(word):
    """An empty policy is valid, and a key without a value is a problem. In quotes these words are plain texts."""
    assert read_document(f"version: 1\npolicies:\n  User:u: {word}\n").acls["u"].policies == ()
    assert problems(f"version: 1\nusers: {word}\n") == ["`users` has no value: write one, or leave the key out"]
    if word:
        assert problems(f"version: 1\nusers: {{u: {{type: '{word}'}}}}\n") == [
            f"unknown user type `{word}`: write `Super` or `Normal`"
        ]


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_words_are_accepted_in_any_letter_case(change):
    """This holds for types, statuses, actions, decisions, outcomes and reasons."""
    document = read_document(
        f"version: 1\nusers: {{u: {{type: {change('super')}, status: {change('disable')}}}}}\n"
        f"{entry(actions=change('sub'), decision=change('allow'))}\n"
        f"{claim(must=change('deny'), reason=change('no-match'))}\n"
    )

    assert (document.users["u"].type, document.users["u"].status) == (UserType.SUPER, UserStatus.DISABLE)
    (found,) = document.acls["u"].entries(PolicyType.CUSTOM)
    assert (found.actions, found.decision) == ((Action.SUB,), Decision.ALLOW)
    assert (document.tests[0].must, document.tests[0].reason) == (Decision.DENY, Reason.NO_MATCH)


def test_the_message_has_the_number_of_problems():
    """A single problem has no number. Of several, the message shows the first and the number of the others."""
    known = "known names are `version`, `users`, `entry_groups`, `policies`, `tests`"

    assert str(invalid("version: 1\na: 1\n")) == f"2:1: unknown key `a` in the document: {known}"
    assert str(invalid("version: 1\na: 1\nb: 2\n")).endswith(f"{known} (and 1 more)")
