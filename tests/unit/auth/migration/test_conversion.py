"""One account as a user and policies: notes, and reasons to leave it out."""

import pytest

from mqguard.auth.migration.acl_v1 import parse_acl_v1
from mqguard.auth.migration.conversion import AccountUnfit, NoteKind, convert


def only_account(text):
    """Return the only account of a file, which begins in its second line."""
    (account,) = parse_acl_v1("plain_acl.yml", f"accounts:\n- {text}\n").accounts
    return account


@pytest.mark.parametrize(
    ("name", "secret", "short"),
    [
        ("seven77", "seven77", []),
        ("six666", "seven77", ["name"]),
        ("seven77", "six666", ["secret"]),
        ("s", "s", ["name", "secret"]),
    ],
)
def test_names_and_secrets_of_seven_characters_are_long_enough(name, secret, short):
    """1.0 counts the same way. A shorter text has a note at the account, without the secret."""
    found = convert(only_account(f"{{accessKey: {name}, secretKey: {secret}}}")).notes

    assert [(note.kind, str(note.mark), note.account) for note in found] == [(NoteKind.SHORT_KEY, "2:3", name)] * len(
        short
    )
    for note, what in zip(found, short, strict=True):
        assert note.message.startswith(f"the {what} of `{name}` is shorter")


@pytest.mark.parametrize(
    ("account", "name", "place", "reason"),
    [
        ("{secretKey: 12345678}", "", "2:3", "the account has no `accessKey`"),
        ("{accessKey: account1}", "account1", "2:3", "the account `account1` has no `secretKey`"),
        ("{accessKey: account1, secretKey: 12345678, topicPerms: [a]}", "account1", "2:59", "`a` is not a permission"),
        (
            "{accessKey: account1, secretKey: 12345678, groupPerms: [g=SUB], topicPerms: ['%DLQ%g=PUB']}",
            "account1",
            "2:80",
            "`%DLQ%g=PUB` cannot be kept",
        ),
    ],
)
def test_an_account_that_is_left_out_has_reasons(account, name, place, reason):
    """The error is one sentence, and its notes have the account and the line."""
    with pytest.raises(AccountUnfit) as caught:
        convert(only_account(account))

    assert str(caught.value).startswith(reason)
    assert "12345678" not in str(caught.value)
    (note,) = caught.value.notes
    assert note.kind is NoteKind.SKIPPED_ACCOUNT
    assert (note.account, str(note.mark), note.file) == (name, place, "plain_acl.yml")
    assert note.message.startswith(reason)


@pytest.mark.parametrize(
    ("name", "called"), [("accessKey: account1, secretKey: 12345678, ", " `account1`"), ("secretKey: 12345678, ", "")]
)
def test_all_reasons_to_leave_an_account_out_are_reported(name, called):
    """Each item has a note with its position, and the error has all of them. Items without effect have none."""
    text = f"{{{name}whiteRemoteAddress: 10.0.0.1, groupPerms: [g], topicPerms: [a=pub, b=]}}"
    with pytest.raises(AccountUnfit) as caught:
        convert(only_account(text))

    refused = "is not a permission, and 1.0 rejects a file that has it: write `name=PERM`; the account"
    notes = [
        note for note in caught.value.notes if note.kind is NoteKind.SKIPPED_ACCOUNT and "accessKey" not in note.message
    ]
    assert [note.message for note in notes] == [f"`{item}` {refused}{called} is left out" for item in ("g", "b=")]
    assert [note.mark.column for note in notes] == [text.index(item) + 3 for item in ("g]", "b=")]
    assert str(caught.value) == "; ".join(note.message for note in caught.value.notes)
    assert NoteKind.WHITE_LIST not in {note.kind for note in caught.value.notes}


def test_the_note_of_a_white_list_is_before_those_of_items():
    """The note about the white list comes first."""
    text = "{accessKey: account1, secretKey: 12345678, whiteRemoteAddress: 10.0.0.1, topicPerms: [a=pub, a=pub]}"

    notes = convert(only_account(text)).notes
    assert [note.kind for note in notes] == [
        *(NoteKind.WHITE_LIST, NoteKind.UNKNOWN_PERMISSION, NoteKind.UNKNOWN_PERMISSION, NoteKind.REPLACED_ITEM),
    ]
    assert (notes[0].account, notes[0].mark.column) == ("account1", text.index("10.0.0.1") + 3)
    assert notes[0].message.startswith("1.0 allows everything to `account1` from `10.0.0.1`, without a signature")
