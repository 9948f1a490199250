"""A policy document becomes users, policies and tests, or a list of all problems with their positions."""

import pytest

from mqguard.auth.analysis.access_state import EntryLocation
from mqguard.auth.documents.document import SecretPlace, SecretReference
from mqguard.auth.documents.nodes import DocumentInvalid, Mark
from mqguard.auth.documents.reader import read_document
from mqguard.auth.policy import Action, Decision, PolicyType
from mqguard.auth.user import UserStatus, UserType
from mqguard.auth.verdict import Reason

SECRET_KEYS = "a secret has one key, `env` or `file`: write `{env: NAME}` or `{file: PATH}`"
VARIABLE = "`env` must be the name of a variable: letters, digits and `_`"
TEST = "version: 1\ntests:\n- {user: u, action: Pub, resource: Topic:a, must: allow, "
WHOLE = """\
version: 1
users:
  admin: {type: Super, secret: {env: ADMIN_SECRET}}
  alice:
    status: disable
    secret:
      file: alice.secret
  null:
entry_groups:
  reader:
    - {resource: "Group:*", actions: Sub, decision: Allow}
    - {resource: Topic:secret, actions: [all], decision: deny}
policies:
  User:alice:
    custom:
      - resource: [Topic:orders, "Topic:order-*"]
        actions: [Pub, Sub]
        sources: 10.0.0.0/8
        decision: Allow
      - use: reader
    default:
      - {resource: "Topic:*", actions: Get, decision: Allow}
  User:bob:
tests:
  - {user: alice, action: Pub, resource: Topic:orders, from: 10.1.2.3, must: deny, reason: disabled}
  - user: [admin, alice]
    action: All
    resource: "*"
    must: allow
"""


def test_a_whole_document():
    """Every part is read, groups are inserted, each resource becomes an entry, and entries have positions."""
    document = read_document(WHOLE)

    assert document.users["admin"].type is UserType.SUPER
    assert document.users["admin"].secret == SecretReference(SecretPlace.ENV, "ADMIN_SECRET")
    assert document.users["alice"].status is UserStatus.DISABLE
    assert document.users["alice"].secret == SecretReference(SecretPlace.FILE, "alice.secret")
    assert document.users["null"].secret is None
    entries = document.acls["alice"].entries(PolicyType.CUSTOM)
    assert [entry.resource.key for entry in entries] == ["Topic:orders", "Topic:order-*", "Group:*", "Topic:secret"]
    assert entries[0].sources[0].text == "10.0.0.0/8"
    assert entries[3].actions == (Action.ALL,)
    assert entries[3].decision is Decision.DENY
    assert [entry.resource.key for entry in document.acls["alice"].entries(PolicyType.DEFAULT)] == ["Topic:*"]
    assert document.acls["bob"].policies == ()
    assert document.mark(EntryLocation("alice", PolicyType.CUSTOM, 2)) == Mark(16, 9)
    assert document.mark(EntryLocation("alice", PolicyType.CUSTOM, 3)) == Mark(11, 7)
    assert document.mark(EntryLocation("alice", PolicyType.CUSTOM, 9)) is None
    first, second = document.tests
    assert first.must is Decision.DENY
    assert first.reason is Reason.DISABLED
    assert first.sources[0].text == "10.1.2.3"
    assert second.users == ("admin", "alice")
    assert second.must is Decision.ALLOW


def test_analysis_needs_no_secrets():
    """The state of a document has users without secrets, and only subjects with policies."""
    directory = read_document(WHOLE).directory

    assert set(directory.users) == {"admin", "alice", "null"}
    assert set(directory.acls) == {"alice"}


def test_all_problems_are_reported_at_once():
    """Each problem has its line and column, the mistake and the correct form."""
    text = """\
version: 2
user: {}
users:
  alice: {typ: Super}
  bob: {type: King, secret: hunter22}
  carl: {secret: {env: A, file: B}}
  dora: {secret: {value: hunter22}}
  ed: hunter22
policies:
  alice:
    custom: []
  User:bob:
    custom:
      - {resource: Topic:a*b, actions: [Pub, Any], decision: Maybe}
      - {resource: Topic:a, sources: [10.0.0.0/8, 10.*], decision: Allow}
      - use: readr
      - use: [reader, reader]
      - {use: reader, decision: Allow}
  user:bob: {}
entry_groups:
  reader: []
  writer: {resource: Topic:a}
tests:
  - {user: bob, action: [], resource: Topic, must: pass}
  - text
"""
    with pytest.raises(DocumentInvalid) as caught:
        read_document(text)

    told = [f"{problem.mark} {problem.message}" for problem in caught.value.problems]
    expected = [
        "1:10 unknown version `2`: write `1`",
        "2:1 unknown key `user` in the document: did you mean `users`?",
        "4:11 unknown key `typ` in user `alice`: did you mean `type`?",
        "5:15 unknown user type `King`: write `Super` or `Normal`",
        "5:29 a document never contains a secret: refer to it, `secret: {env: NAME}` or `secret: {file: PATH}`",
        "6:18 a secret has exactly one place: write `{env: NAME}` or `{file: PATH}`",
        "7:19 a secret has one key, `env` or `file`: write `{env: NAME}` or `{file: PATH}`",
        "8:7 user `ed` must be a mapping of `key: value` lines, not a text",
        "10:3 `alice` is not a valid subject: write `User:name`",
        "14:20 the resource `Topic:a*b` has a `*` before its end: write `*` only at the end, for a prefix",
        "14:46 unknown action `Any`: write one of All, Pub, Sub, Create, Update, Delete, Get, List",
        "14:62 unknown decision `Maybe`: write `Allow` or `Deny`",
        "15:9 an entry of `custom` of `User:bob` has no `actions`: the matched actions; `All` is every action",
        "15:51 `10.*` is not a valid source address: write one address or a CIDR range",
        "16:14 unknown entry group `readr`: did you mean `reader`?",
        "17:23 `use` names `reader` twice",
        "18:23 unknown key `decision` in `use` in `custom` of `User:bob`: known names are `use`",
        "19:3 the subject `User:bob` is repeated: merge its policies",
        "22:11 entry group `writer` must be a list of `- item` lines, not a mapping",
        "24:25 `action` is an empty list: name at least one",
        "24:39 the resource `Topic` has no name",
        "24:52 unknown outcome `pass`: write `allow` or `deny`",
        "25:5 a test must be a mapping of `key: value` lines, not a text",
    ]
    for line in expected:
        assert any(one.startswith(line) for one in told), (line, told)
    assert len(told) == len(expected), told
    assert "hunter22" not in str(caught.value) + "".join(told)
    assert str(caught.value).endswith(f"(and {len(told) - 1} more)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the document has no `version`: the version of this format: 1"),
        ("[]", "1:1: the document must be a mapping of `key: value` lines, not a list"),
        ("version: 1\nusers: [a]", "2:8: `users` must be a mapping of `key: value` lines, not a list"),
        ("version: 1\nusers:", "2:7: `users` has no value: write one, or leave the key out"),
        ("version: 1\nusers: {' ': {}}", "2:9: a user has no name: write `name:` before its fields"),
        ("version: 1\nusers: {a: {type: [Super]}}", "2:19: `type` must be a text, not a list"),
        ("version: 1\nusers: {a: {type: 'x\n\n y'}}", "2:19: unknown user type `x\\ny`: write `Super` or `Normal`"),
        ("version: 1\nusers: {a: {secret: {hush22}}}", f"2:22: {SECRET_KEYS}"),
        ("version: 1\nusers: {a: {secret: {env: A, hush22: B}}}", f"2:30: {SECRET_KEYS}"),
        ("version: 1\nusers: {a: {secret: {env: hush-22!}}}", f"2:27: {VARIABLE}"),
        ("version: 1\nusers: {a: {secret: {env: 22hush}}}", f"2:27: {VARIABLE}"),
        ('version: 1\nusers: {a: {secret: {env: "HUSH\\n"}}}', f"2:27: {VARIABLE}"),
        ("version: 1\npolicies:\n  'User: ': {}", "3:3: `User: ` has no user name: write `User:name`"),
        ("version: 1\npolicies:\n  User: {}", "3:3: `User` has no user name: write `User:name`"),
        (f"{TEST}from: []}}", "3:64: `from` is an empty list: name at least one, or leave the key out"),
        (f"{TEST}from: [[]]}}", "3:65: an item of `from` must be a text, not a list"),
        (f"{TEST}from: ['::1', '::1']}}", "3:72: `from` names `::1` twice"),
        (f"{TEST}reason: un\u212anown-user}}", "3:66: unknown reason `un\u212anown-user`"),
    ],
)
def test_a_document_of_another_kind(text, message):
    """The problem names the expected kind."""
    with pytest.raises(DocumentInvalid) as caught:
        read_document(text)

    assert str(caught.value).startswith(message)
