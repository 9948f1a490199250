"""Commands print texts that others have chosen without control characters."""

import json

from mqguard.cli.output import emit, report, table
from mqguard.errors import MqguardError

EVIL = "x\x1b]0;owned\x07\u202e"
SEEN = "x\\x1b]0;owned\\x07\\u202e"


def test_a_row_of_a_table_is_one_line():
    shown = table(("#UserName", "#UserType"), [("eve\nroot  Super", "Normal"), (EVIL, "Normal")])
    assert shown.splitlines() == [
        f"{'#UserName':<23}  #UserType",
        f"{'eve' + chr(92) + 'nroot  Super':<23}  Normal",
        f"{SEEN:<23}  Normal",
    ]


def test_columns_have_the_width_of_their_characters():
    """Some characters take two places, and some take none."""
    shown = table(("#Resource", "#From"), [("Topic:日本語*", "a"), ("Topic:Gru\u0308n*", "b")])
    assert shown.splitlines() == [
        f"{'#Resource':<13}  #From",
        "Topic:日本語*  a",
        "Topic:Gru\u0308n*    b",
    ]


def test_a_name_sends_no_command_to_a_terminal(capsys):
    emit({}, f"removed the user {EVIL}\n\tand more", as_json=False)
    assert capsys.readouterr().out == f"removed the user {SEEN}\n\tand more\n"
    report(MqguardError(f"no user `{EVIL}`"), as_json=False)
    assert capsys.readouterr().err == f"mqguard: no user `{SEEN}`\n"


def test_scripts_and_files_get_the_unchanged_text(capsys):
    emit({"name": EVIL}, "", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": EVIL}
    report(MqguardError(EVIL), as_json=True)
    assert json.loads(capsys.readouterr().err)["error"] == EVIL
    emit({}, "größe:\u00a0x", as_json=False, verbatim=True)
    assert capsys.readouterr().out == "größe:\u00a0x\n"
