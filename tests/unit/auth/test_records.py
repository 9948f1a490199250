import itertools

import msgspec
import pytest
from hypothesis import given

from mqguard.auth.errors import RecordCorrupt
from mqguard.auth.records import AclRecord, encode_acl
from mqguard.auth.user import Subject
from tests.property.auth.worlds import acls, quick

GOOD = b'[["Custom",[["Topic","LITERAL","t",["Pub"],["10.0.0.0/8"],"Allow"]]]]'


@quick
@given(acls)
def test_encoded_policies_are_decoded(acl):
    record = encode_acl(acl)
    record.check()
    assert record.decode() == acl


def test_equal_sources_and_actions_are_one_object():
    one, other = (AclRecord(Subject(name), GOOD).decode().policies[0].entries[0] for name in "ab")
    assert one.sources[0] is other.sources[0]
    assert one.actions is other.actions


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}",
        b"[[]]",
        b'"\xff"',
        GOOD[:-1],
        GOOD + b"x",
        GOOD.replace(b"Custom", b"custom"),
        GOOD.replace(b"Topic", b"Foo"),
        GOOD.replace(b"LITERAL", b"LIKE"),
        GOOD.replace(b"LITERAL", b"ANY"),
        GOOD.replace(b'"t"', b'""'),
        GOOD.replace(b'"t"', b'"t*"'),
        GOOD.replace(b"Topic", b"*"),
        GOOD.replace(b"Pub", b"Publish"),
        GOOD.replace(b'["Pub"]', b"[]"),
        GOOD.replace(b'["Pub"]', b'"Pub"'),
        GOOD.replace(b"10.0.0.0/8", b"10.0.0.0/99"),
        GOOD.replace(b"Allow", b"Maybe"),
        GOOD.replace(b'"Allow"', b'"Allow",1'),
        GOOD[:-1] + b"," + GOOD[1:],
    ],
)
def test_other_bytes_are_corrupt_and_never_shown(data):
    record = AclRecord(Subject("alice"), data)
    for read in (record.check, record.decode):
        with pytest.raises(RecordCorrupt) as caught:
            read()
        assert str(caught.value) == "the stored policies of `User:alice` cannot be read"
        assert caught.value.__cause__ is None


def test_a_check_has_the_result_of_decoding():
    """The test combines valid parts with parts that are wrong in one way."""
    types, patterns, names = ("*", "Topic"), ("LITERAL", "PREFIXED", "ANY"), ("", "t", "*", "t*", "*t")
    mixed = itertools.product(types, patterns, names, ([], ["Pub"], ["Pub", "Pub"]), ([], ["::1"], ["::1/129"]))
    entries = [[*parts, "Deny"] for parts in mixed]
    one_policy = [[["Custom", [entry]]] for entry in entries]
    good = [form for form in one_policy if outcomes(form) == {None}]
    assert len(good) == (2 + 2) * 2 * 2
    two_policies = [[[kind, []], ["Default", entries]] for kind in ("Custom", "Default") for ((_, entries),) in good]
    for form in (*one_policy, *two_policies, [], [["Custom", []]]):
        assert len(outcomes(form)) == 1, form


def outcomes(form):
    """Return the messages of checking and decoding, None for success."""
    record = AclRecord(Subject("alice"), msgspec.json.encode(form))
    said = set()
    for read in (record.check, record.decode):
        try:
            read()
            said.add(None)
        except RecordCorrupt as exc:
            said.add(str(exc))
    return said
