"""ACL 1.0 files: their keys and values, and the positions of rejected parts."""

import pytest

from mqguard.auth.migration.acl_v1 import AclV1File, AclV1FileInvalid, parse_acl_v1, trimmed
from mqguard.auth.policy import Action
from mqguard.auth.user import Secret


def test_scalars_keep_their_text():
    """A secret of digits with leading zeros is a text. Flags are YAML's booleans. A blank value is absent."""
    text = (
        "accounts:\n"
        "- {accessKey: 1234567, secretKey: 00123, admin: yes, whiteRemoteAddress: '', topicPerms: [a=PUB]}\n"
        "dataVersion:\n- {timestamp: 1, counter: 2}\n"
    )
    (account,) = parse_acl_v1("f.yml", text).accounts

    assert account.access_key == "1234567"
    assert account.secret == Secret("00123")
    assert account.admin
    assert account.white_address is None
    assert account.topics[0].text == "a=PUB"
    assert "00123" not in repr(account)


def test_an_empty_file_has_no_accounts():
    """1.0's migrator creates an empty file if it is missing."""
    assert parse_acl_v1("f.yml", "") == AclV1File("f.yml", (), ())
    assert parse_acl_v1("f.yml", "accounts:\n").accounts == ()


@pytest.mark.parametrize(
    ("text", "actions"), [("PUB", "P"), (" SUB ", "S"), ("PUB|SUB", "PS"), ("SUB|PUB", "PS"), ("ANY", ""), ("pub", "")]
)
def test_permissions_are_those_of_1_0(text, actions):
    """Only the five words are permissions, and every other text is DENY."""
    (account,) = parse_acl_v1("f", f"accounts:\n- {{accessKey: a, defaultTopicPerm: '{text}'}}\n").accounts

    assert account.topic_default.permission == {{"P": Action.PUB, "S": Action.SUB}[sign] for sign in actions}
    assert account.topic_default.is_permission is bool(actions)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accounts: {a: b}", "f.yml:1:11: `accounts` must be a list of `- item` lines, not a mapping"),
        ("account: []", "f.yml:1:1: unknown key `account` in the file: did you mean `accounts`?"),
        (
            "accounts:\n- {accessKey: a, topicPerm: [a=PUB]}",
            "f.yml:2:18: unknown key `topicPerm` in an account: did you mean `topicPerms`?",
        ),
        ("accounts:\n- {admin: 1}", "f.yml:2:11: `admin` must be true or false"),
        ("accounts:\n- {admin: [true]}", "f.yml:2:11: `admin` must be true or false"),
        ("accounts:\n- {topicPerms: a=PUB}", "f.yml:2:16: `topicPerms` must be a list of `- item` lines"),
        ("accounts:\n- {groupPerms: a=PUB}", "f.yml:2:16: `groupPerms` must be a list of `- item` lines"),
        (
            "globalWhiteRemoteAddresses: 10.0.0.1",
            "f.yml:1:29: `globalWhiteRemoteAddresses` must be a list of `- item` lines",
        ),
        ("accounts:\n- {topicPerms: [{a: PUB}]}", "f.yml:2:17: an item of `topicPerms` must be a text"),
        ("accounts:\n- {secretKey: [hush]}", "f.yml:2:15: `secretKey` must be a text, not a list"),
        ("accounts:\n- a\n", "f.yml:2:3: an account must be a mapping of `key: value` lines, not a text"),
        ("accounts: [", "f.yml:2:1: this is not valid YAML: did not find expected node content"),
    ],
)
def test_an_invalid_acl_file_is_rejected_with_its_position(text, message):
    """The message has file, line and column, the mistake and the correct form."""
    with pytest.raises(AclV1FileInvalid) as caught:
        parse_acl_v1("f.yml", text)

    assert str(caught.value) == message
    assert caught.value.file == "f.yml"


@pytest.mark.parametrize("quote", ["", "'"])
@pytest.mark.parametrize(
    ("word", "flag"), [("true", True), ("yes", True), ("on", True), ("false", False), ("no", False), ("off", False)]
)
def test_flags_are_yaml_booleans(word, flag, quote):
    """Any letter case is accepted, quoted or not. A misspelt flag is a problem and makes no admin."""
    for written in (word, word.upper(), word.capitalize()):
        (account,) = parse_acl_v1("f", f"accounts:\n- {{admin: {quote}{written}{quote}}}\n").accounts
        assert account.admin is flag
    with pytest.raises(AclV1FileInvalid, match="`admin` must be true or false"):
        parse_acl_v1("f", f"accounts:\n- {{admin: {word}x}}\n")


def test_an_empty_item_is_an_empty_text():
    """The item has its line, so that the report can name it."""
    (account,) = parse_acl_v1("f", "accounts:\n- topicPerms:\n  - a=PUB\n  -\n  - ~\n").accounts

    assert [(item.text, str(item.mark)) for item in account.topics] == [("a=PUB", "3:5"), ("", "4:4"), ("", "5:5")]


def test_texts_are_trimmed_like_java():
    """The space and all control characters before it are trimmed at both ends, and no other character."""
    for sign in map(chr, range(0x3100)):
        text = f"{sign}a{sign}b{sign}"
        assert trimmed(text) == (f"a{sign}b" if sign <= " " else text)
