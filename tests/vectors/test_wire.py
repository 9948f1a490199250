import json

from mqguard.testing.vectors.wire import answer
from tests.vectors.reading import REFUSED, Tally, lines

# By tag: requests that are answered as by Apache's broker, requests that are not.
BY_TAG = {
    "after": (868, 178),
    "caller": (240, 139),
    "input": (303, 91),
    "no-identity": (251, 26),
    "repeats": (27, 7),
    "secret": (0, 165),
}


def said(outcome):
    """Return the answer in comparable form: one word for any refusal, and a decoded body."""
    if "error" in outcome or outcome["code"] != 0:
        return REFUSED
    return outcome["remark"], json.loads(outcome["body"]) if outcome["body"] else None


def test_every_recorded_request_without_a_tag_is_answered_alike():
    tally = Tally()
    for line in lines("wire"):
        for recorded, ours in zip(line["ops"], answer(line)["ops"], strict=True):
            tags = recorded.get("tags", [])
            agrees = said(ours["outcome"]) == said(recorded["outcome"])
            assert agrees or tags, (line["id"], recorded, ours["outcome"])
            tally.add(tags, agrees=agrees)
    assert tally.untagged == 2651
    assert tally.by_tag == BY_TAG


def passwords(text):
    """Return the passwords in a body of one user, of several users or of anything else."""
    try:
        body = json.loads(text or "null")
    except ValueError:
        return set()
    users = body if isinstance(body, list) else [body]
    return {str(user["password"]) for user in users if isinstance(user, dict) and user.get("password")}


def test_no_answer_holds_a_secret():
    shown = 0
    for line in lines("wire"):
        given = set().union(*(passwords(op["body"]) for op in line["ops"]))
        for op in answer(line)["ops"]:
            answered = passwords(op["outcome"]["body"])
            assert all(password.startswith("***") for password in answered)
            assert not answered & given
            shown += len(answered)
    assert shown > 100
