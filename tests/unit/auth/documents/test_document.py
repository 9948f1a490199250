"""Positions of the parts of a document, and the state that it describes."""

import pytest

from mqguard.auth.documents.nodes import Mark
from mqguard.auth.documents.reader import read_document
from mqguard.auth.user import User, UserStatus, UserType

TEXT = """\
version: 1
users:
  both: {type: Super, status: disable, secret: {env: BOTH}}
  user: {}
policies:
  User:both:
    custom: [{resource: Topic:a, actions: Pub, decision: Allow}]
  User:subject:
    default: [{resource: Topic:a, actions: Pub, decision: Deny}]
  User:empty: {}
"""


@pytest.mark.parametrize(
    ("name", "mark"),
    [("both", Mark(6, 3)), ("user", Mark(4, 3)), ("subject", Mark(8, 3)), ("empty", Mark(10, 3)), ("nobody", None)],
)
def test_a_subject_has_the_position_of_its_policies_or_of_its_user(name, mark):
    """Messages about a subject have that position. An unknown name has none."""
    assert read_document(TEXT).subject_mark(name) == mark


def test_the_state_of_a_document_has_its_users():
    """The state has names, types and statuses, but no secrets."""
    directory = read_document(TEXT).directory

    assert directory.users == {
        "both": User("both", (), UserType.SUPER, UserStatus.DISABLE),
        "user": User("user", (), UserType.NORMAL, UserStatus.ENABLE),
    }
    assert set(directory.acls) == {"both", "subject"}
