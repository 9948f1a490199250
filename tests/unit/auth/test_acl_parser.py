import pytest

from mqguard.auth.acl_parser import EntryText, PolicyText, read_acl, read_policy_type, read_resource, read_subject
from mqguard.auth.errors import MetadataRejected
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import Subject

ALICE = Subject("alice")
GOOD = EntryText("topic:a*", ["pub", "SUB"], ["10.0.0.0/8"], "allow")


def read(*entries, kind=None):
    return read_acl(ALICE, [PolicyText(kind, entries)])


def test_texts_become_policies():
    entry = Entry(Resource.parse("Topic:a*"), (Action.PUB, Action.SUB), (Source.parse("10.0.0.0/8"),), Decision.ALLOW)
    assert read(GOOD) == Acl(ALICE, (Policy(PolicyType.CUSTOM, (entry,)),))
    assert read(GOOD, kind="default") == Acl(ALICE, (Policy(PolicyType.DEFAULT, (entry,)),))
    assert read(GOOD._replace(sources=None)) == read(GOOD._replace(sources=[]))


def test_policies_of_one_type_are_one_policy():
    other = GOOD._replace(resource="Topic:b")
    found = read_acl(ALICE, [PolicyText(None, [GOOD]), PolicyText("Default", [GOOD]), PolicyText("Custom", [other])])
    assert [entry.resource.key for entry in found.entries(PolicyType.CUSTOM)] == ["Topic:a*", "Topic:b"]
    assert len(found.policies) == 2


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (GOOD._replace(resource=None), "The resource is null."),
        (GOOD._replace(resource=""), "The resource is null."),
        (GOOD._replace(resource="Foo:x"), "The resource is null. [unknown resource type in `Foo:x`: "),
        (
            GOOD._replace(resource="Topic:a*b"),
            "The resource is null. [the resource `Topic:a*b` has a `*` before its end",
        ),
        (GOOD._replace(actions=None), "The actions is empty."),
        (GOOD._replace(actions=[]), "The actions is empty."),
        (GOOD._replace(actions=["Pub", "any"]), "The actions can not be Any."),
        (
            GOOD._replace(actions=["Pub", "Publish"]),
            "The action is illegal. [unknown action `Publish`: write one of All, ",
        ),
        (GOOD._replace(actions=["Pub", None]), "The action is illegal."),
        (GOOD._replace(sources=["10.0.0.1", " "]), "The source ip is empty."),
        (GOOD._replace(sources=[None]), "The source ip is empty."),
        (
            GOOD._replace(sources=["192.168.*.*"]),
            "The source ip is invalid. [`192.168.*.*` is not a valid source address: ",
        ),
        (GOOD._replace(decision=None), "The decision is null or illegal."),
        (
            GOOD._replace(decision="Maybe"),
            "The decision is null or illegal. [unknown decision `Maybe`: write `Allow` or `Deny`]",
        ),
    ],
)
def test_errors_have_apaches_message_and_the_detail(entry, sentence):
    with pytest.raises(MetadataRejected) as caught:
        read(GOOD, entry)
    assert str(caught.value).startswith(sentence)
    assert str(caught.value) == sentence or "[" in sentence


@pytest.mark.parametrize(
    ("policies", "sentence"),
    [
        (None, "The policies is empty."),
        ([], "The policies is empty."),
        ([PolicyText(None, None)], "The policy entries is empty."),
        ([PolicyText(None, [GOOD]), PolicyText("Default", [])], "The policy entries is empty."),
        (
            [PolicyText("Costum", [GOOD])],
            "The policy type is illegal. [unknown policy type `Costum`: write `Custom` or `Default`]",
        ),
    ],
)
def test_empty_policies_are_rejected(policies, sentence):
    with pytest.raises(MetadataRejected) as caught:
        read_acl(ALICE, policies)
    assert str(caught.value) == sentence


def test_subjects_resources_and_types_of_requests_are_parsed_alike():
    assert read_subject("user:alice") == ALICE
    assert read_resource("*") == Resource.parse("*")
    assert read_policy_type("DEFAULT") is PolicyType.DEFAULT
    for read_one, text in ((read_subject, None), (read_subject, "alice"), (read_resource, ""), (read_resource, "**")):
        with pytest.raises(MetadataRejected, match=r"The (subject|resource) is null\."):
            read_one(text)
    with pytest.raises(MetadataRejected) as caught:
        read_subject("alice")
    assert str(caught.value) == "The subject is null. [`alice` is not a valid subject: write `User:name`]"
    with pytest.raises(MetadataRejected):
        read_policy_type("")
