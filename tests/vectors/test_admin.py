from mqguard.testing.vectors.admin import answer
from tests.vectors.reading import Tally, lines, plain

# By tag: operations that agree with Apache's module, operations that differ.
BY_TAG = {
    "after": (836, 107),
    "input": (370, 143),
    "repeats": (46, 1),
}


def test_every_recorded_operation_without_a_tag_has_the_same_outcome_and_leaves_the_same_state():
    tally = Tally()
    finals = 0
    for line in lines("admin"):
        ours = answer(line)
        tagged = False
        for recorded, ours_op in zip(line["ops"], ours["ops"], strict=True):
            tags = recorded.get("tags", [])
            tagged = tagged or bool(tags)
            agrees = plain(ours_op["outcome"]) == plain(recorded["outcome"])
            assert agrees or tags, (line["id"], recorded, ours_op["outcome"])
            tally.add(tags, agrees=agrees)
        if not tagged:
            assert ours["final"] == line["final"], line["id"]
            finals += 1
    assert finals == 179
    assert tally.untagged == 4539
    assert tally.by_tag == BY_TAG
