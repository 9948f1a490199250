"""Where parts of a document stand, and the state that it describes."""

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
def test_a_subject_stands_with_its_policies_or_else_with_its_user(name, mark):
    """What is said of a subject is said there; a name that the document does not know stands nowhere."""
    assert read_document(TEXT).subject_mark(name) == mark


def test_the_state_of_a_document_has_its_users_as_they_are():
    """Names, types and statuses; no secrets, since the document has none."""
    directory = read_document(TEXT).directory

    assert directory.users == {
        "both": User("both", (), UserType.SUPER, UserStatus.DISABLE),
        "user": User("user", (), UserType.NORMAL, UserStatus.ENABLE),
    }
    assert set(directory.acls) == {"both", "subject"}
