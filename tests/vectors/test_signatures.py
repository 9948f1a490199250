from mqguard.testing.vectors.signatures import answer
from tests.vectors.reading import lines, plain


def test_every_recorded_signature_and_every_recorded_verification_agrees():
    checked = 0
    for line in lines("signatures"):
        ours = answer(line)
        for part in ("out", "context", "verify"):
            if part in line:
                assert plain(ours[part]) == plain(line[part]), (line, ours[part])
                checked += 1
    assert checked == 1974


def test_an_unknown_user_gets_the_same_answer_as_a_wrong_secret():
    heard = {
        recorded["verify"]["message"].partition(" is ")[2]: answer(recorded)["verify"]["message"]
        for recorded in lines("signatures")
        if isinstance(recorded.get("verify"), dict) and " is not found." in recorded["verify"]["message"]
    }
    assert set(heard.values()) == {"check signature failed."}
