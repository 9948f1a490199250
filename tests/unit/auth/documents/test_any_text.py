"""Any text is either a document, or problems with their positions."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.documents.nodes import DocumentInvalid
from mqguard.auth.documents.reader import read_document
from mqguard.auth.migration.acl_v1 import parse_acl_v1
from mqguard.auth.migration.migration import plan_migration

_WORDS = [
    "version: 1\n", "users:", "policies:", "entry_groups:", "tests:", "User:u:", "custom:", "default:", "use:", "resource:",
    "actions:", "sources:", "decision:", "secret:", "env:", "file:", "type:", "status:", "user:", "from:", "must:", "reason:",
    "accounts:", "accessKey:", "secretKey:", "admin:", "topicPerms:", "groupPerms:", "a=PUB", "a=", "=", "true", "globalWhiteRemoteAddresses:",
    "Topic:a", "Topic:*", "'*'", "Pub", "All", "Allow", "10.0.0.0/8", "u", "null", "~", "''", "&a", "*a", "!!str", "|", ">", "---", "...", "?", ",",
    "- ", "[", "]", "{", "}", ": ", "\n", "\n  ", "\n    ", "\n      ", "\t", "#", '"', "'", "é", "\x00", "\x85", "\u2028", "\ufeff",
]  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.sampled_from(_WORDS), max_size=40).map("".join))


def attempt(read, text):
    """Return the document, or the problems."""
    try:
        return read(text), ()
    except DocumentInvalid as error:
        return None, error.problems


@given(texts)
def test_a_document_or_its_problems(text):
    """Each problem is one line with a position inside the text."""
    document, problems = attempt(read_document, text)
    for problem in problems:
        assert 1 <= problem.mark.line <= len(text.splitlines()) + 2
        assert problem.mark.column >= 1
        assert "\n" not in problem.message
    assert (document is None) is bool(problems)


@given(texts)
def test_an_acl_file_or_its_problems(text):
    """A readable ACL 1.0 file can be migrated, at most with notes, and adds no right."""
    file, problems = attempt(lambda given: parse_acl_v1("f", given), text)
    assert (file is None) is bool(problems)
    if file is not None:
        assert not any(found.after for found in plan_migration([file]).differences)
