"""Requests about users and policies, as Apache's broker answered them."""

import json

import pytest

from mqguard.testing.answers.wire import answer
from tests.vectors.reading import Tally, lines

INNER_FAULT = "An system error occurred, please try again later."

# By tag: operations that agree with Apache's broker, operations that differ.
BY_TAG = {
    "after": (870, 176),
    "caller": (234, 145),
    "input": (160, 232),
    "no-identity": (247, 30),
    "repeats": (25, 9),
}


def agree(recorded, ours):
    """Whether a response is the recorded one; an error that Apache's processor let out or hid means: refused."""
    if "error" in recorded or recorded["remark"] == INNER_FAULT:
        return ours["code"] != 0
    return content(recorded) == content(ours)


def content(outcome):
    body = outcome["body"]
    return outcome["code"], outcome["remark"], None if body is None else json.loads(body)


def test_every_recorded_response_without_a_tag_is_ours_too():
    tally = Tally()
    for line in lines("wire"):
        for recorded, ours in zip(line["ops"], answer(line)["ops"], strict=True):
            tags = [tag for tag in recorded.get("tags", []) if tag != "secret"]
            agrees = agree(recorded["outcome"], ours["outcome"])
            assert agrees or tags, (line["id"], recorded, ours["outcome"])
            tally.add(tags, agrees=agrees)
    assert tally.untagged == 2750
    assert tally.by_tag == BY_TAG


@pytest.mark.parametrize("outcome", [{"code": 0, "remark": None, "body": None}])
def test_a_wrong_response_would_be_noticed(outcome):
    assert not agree({"code": 16, "remark": "The user is existed", "body": None}, outcome)
    assert not agree({"error": "NullPointerException", "message": ""}, outcome)
    assert not agree({"code": 1, "remark": INNER_FAULT, "body": None}, outcome)
    assert not agree({"code": 0, "remark": None, "body": "[]"}, outcome)
