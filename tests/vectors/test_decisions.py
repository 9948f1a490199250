from mqguard.testing.vectors.decisions import answer
from tests.vectors.reading import REFUSED, Tally, lines, plain

# By tag: items that agree with Apache's module, items that differ.
BY_TAG = {
    "address": (182, 817),
    "address-form": (101, 41),
    "any-of": (354, 1115),
    "default-policy": (298, 1358),
    "duplicate": (437, 125),
    "input": (2038, 1051),
    "missing-name": (6, 151),
    "odd-request": (965, 251),
    "second-policy": (36, 457),
}


def test_every_recorded_decision_without_a_tag_agrees_and_every_design_is_met():
    tally = Tally()
    for line in lines("decisions"):
        for recorded, ours in zip(line["requests"], answer(line)["requests"], strict=True):
            tags = recorded.get("tags", [])
            agrees = plain(ours["outcome"]) == plain(recorded["outcome"])
            assert agrees or tags, (line["id"], recorded, ours["outcome"])
            design = recorded.get("design")
            if design is not None:
                assert plain(ours["outcome"]) == ("allow" if design == "allow" else REFUSED), (line["id"], recorded)
            tally.add(tags, agrees=agrees)
    assert tally.untagged == 89364
    assert tally.by_tag == BY_TAG
