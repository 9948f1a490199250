from mqguard.testing.vectors.parsers import answer
from tests.vectors.reading import Tally, lines, plain

# By tag: items that agree with Apache's module, items that differ.
BY_TAG = {
    "address": (0, 21),
    "address-form": (75, 164),
    "any-typed": (10, 85),
    "input": (41, 28),
    "json": (119, 207),
    "letter-case": (0, 73),
    "repeats": (29, 22),
    "star": (22, 58),
    "unnamed": (27, 40),
}


def test_every_recorded_text_without_a_tag_is_read_alike():
    tally = Tally()
    for line in lines("parsing"):
        tags = line.get("tags", [])
        agrees = plain(answer(line)["out"]) == plain(line["out"])
        assert agrees or tags, (line, answer(line)["out"])
        tally.add(tags, agrees=agrees)
    assert tally.untagged == 2240
    assert tally.by_tag == BY_TAG
