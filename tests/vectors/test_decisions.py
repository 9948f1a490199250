from mqguard.testing.vectors.decisions import answer
from tests.vectors.reading import REFUSED, Tally, lines, plain

# By tag: items that agree with Apache's module, items that differ.
BY_TAG = {
    "address": (182, 817),
    "address-form": (100, 42),
    "any-of": (366, 1103),
    "default-policy": (301, 1355),
    "duplicate": (438, 124),
    "input": (2036, 1053),
    "missing-name": (6, 151),
    "namespace": (2925, 904),
    "odd-request": (965, 251),
    "second-policy": (46, 447),
}


def test_every_recorded_decision_without_a_tag_agrees_and_every_design_is_met():
    tally = Tally()
    for line in lines("decisions"):
        for recorded, ours in zip(line["requests"], answer(line)["requests"], strict=True):
            tags = [*recorded.get("tags", []), *(["namespace"] if _is_about_a_namespace(line, recorded) else [])]
            agrees = plain(ours["outcome"]) == plain(recorded["outcome"])
            assert agrees or tags, (line["id"], recorded, ours["outcome"])
            design = recorded.get("design")
            if design is not None and "namespace" not in tags:
                assert plain(ours["outcome"]) == ("allow" if design == "allow" else REFUSED), (line["id"], recorded)
            tally.add(tags, agrees=agrees)
    assert tally.untagged == 85804
    assert tally.by_tag == BY_TAG


def _is_about_a_namespace(line, request):
    """Return True if an entry for namespaces has a meaning here that it does not have in Apache's module.

    There it matches requests that name a namespace, which no client sends. Here it matches topics and groups.
    """
    keys = [
        entry["resource"] or ""
        for acl in line["acls"]
        for policy in (acl.get("policies") or () if acl["subject"] == request["subject"] else ())
        for entry in policy.get("entries") or ()
    ]
    has_namespace = "%" in (request["name"] or "") and request["type"] in {"Topic", "Group"}
    return request["type"] == "Namespace" or (has_namespace and any(key.startswith("Namespace:") for key in keys))
