"""The requirements of all codes: the promise, code by code, written down a second time.

A row of the promise has the code, the fields of a request with all names, and its permissions in order. A field with `?`
may be left out, and the handler then asks about the objects. A field with `~` may be left out, but not be blank. With
`always` the handler must ask in any case. With `own` a retry topic must be the group's own.
"""

import itertools
import string

import pytest

from mqguard.guard.errors import PermissionsUnclear
from mqguard.guard.requirements.evaluation import TABLE, Requirements
from mqguard.remoting.codes import OwnCode, RequestCode
from mqguard.remoting.command import Command
from tests.unit.guard.requirements.shape import is_pending

PROMISE = """
10   topic=t → Pub on Topic:t
310  b=t → Pub on Topic:t
320  b=t → Pub on Topic:t
324  topic=c_REPLY_TOPIC → Pub on Topic:c_REPLY_TOPIC; always
325  b=c_REPLY_TOPIC → Pub on Topic:c_REPLY_TOPIC; always
11   topic=t consumerGroup=g → Sub on Topic:t, Sub on Group:g; own
361  topic=t consumerGroup=g → Sub on Topic:t, Sub on Group:g; own
14   topic=t consumerGroup=g → Sub or Get on Topic:t, Sub or Get on Group:g; own
15   topic=t consumerGroup=g → Sub or Update on Topic:t, Sub or Update on Group:g; own
12   topic=t → Sub or Get on Topic:t
33   topic?=t → Get on Topic:t; always
36   group=g → Sub on Group:g; always
37   topic?=t → Pub on Topic:t; always
323  topic?=t → Update on Topic:t; always
370  topic=t → Pub on Topic:t
309  consumerGroup=g topic?=t → Sub on Group:g, Sub on Topic:t; own always

17   topic=t topicFilterType=MULTI_TAG → Create or Update on Topic:t; always
215  topic=t → Delete on Topic:t
105  topic=t → Pub or Sub or Get on Topic:t
351  topic=t → Get on Topic:t
202  topic=t → Get on Topic:t
29   topic=t → Sub or Get on Topic:t
30   topic=t → Sub or Get on Topic:t
31   topic=t → Sub or Get on Topic:t
32   topic=t → Sub or Get on Topic:t
300  topic=t → Get on Topic:t
354  topic=t → Get on Topic:t
21   → Get or List on Cluster:c
305  → Get or List on Cluster:c
206  → Get or List on Cluster:c
304  → Get or List on Cluster:c
311  → Get or List on Cluster:c
312  → Get or List on Cluster:c
313  → Get or List on Cluster:c

207  groupName=g → Delete on Group:g
352  group=g → Get on Group:g
201  → Get or List on Cluster:c
38   consumerGroup=g → Sub or Get on Group:g
203  consumerGroup=g → Get on Group:g; always
307  consumerGroup=g → Get on Group:g
208  consumerGroup=g topic?=t topicList?=u;v → Get on Group:g, Get on Topic:t, Get on Topic:u, Get on Topic:v; own
343  group=g → Get on Group:g; always
345  group=g topic=t → Get on Group:g, Get on Topic:t; own
303  topic=t group=g → Get on Topic:t, Get on Group:g; own
308  filterGroups?=h,i compareGroup=g topic=t → Get on Group:h, Get on Group:i, Get on Group:g, Get on Topic:t; own
321  topic=t consumerGroup~=g → Get on Topic:t, Get on Group:g; own
222  group=g topic=t → Update on Group:g, Update on Topic:t; own
223  topic=t group=g → Get on Topic:t, Get on Group:g; own
314  srcGroup=g destGroup=h topic?=t → Get on Group:g, Update on Group:h, Update on Topic:t
353  group=g topic=t → Update on Group:g, Update on Topic:t; own
43   → Get or List on Cluster:c
402  → Get or List on Cluster:c

200050 topic=t consumerGroup=g → Sub on Group:g, Sub on Topic:t; own
200051 topic=t consumerGroup=g → Sub on Group:g, Sub on Topic:t; own
200053 topic=t consumerGroup=g → Sub on Group:g, Sub on Topic:t; own
200054 topic=t consumerGroup=g → Sub on Group:g, Sub on Topic:t; own
200052 topic=t consumerGroup=g → Sub on Topic:t, Sub on Group:g; own
200055 topic=t consumerGroup=g → Get on Group:g, Get on Topic:t; own
200070 topic=t consumerGroup=g → Sub on Group:g, Sub on Topic:t; own always
200074 → Get on Cluster:c; always
200075 topic=t → Get on Topic:t; always
200076 parentTopic=t → Get on Topic:t; always
200077 parentTopic=t group=g → Get on Topic:t, Get on Group:g
200078 group=g → Get on Group:g; always
200079 group=g → Get on Group:g

3001 → Update on Cluster:c
3002 → Update on Cluster:c
3003 → Update on Cluster:c
3004 → Get on Cluster:c
3005 → Get on Cluster:c
3006 → Update on Cluster:c
3007 → Update on Cluster:c
3008 → Update on Cluster:c
3009 → Get on Cluster:c
3010 → Get on Cluster:c
7700001 → Get on Cluster:c

28   → Get on Cluster:c
45   → Get on Cluster:c
60   → Get on Cluster:c
61   → Get on Cluster:c
204  → Get on Cluster:c
328  → Get on Cluster:c
315  → Get on Cluster:c
317  → Get on Cluster:c
355  → Get on Cluster:c
2003 → Get on Cluster:c
907  → Get on Cluster:c
1007 → Get on Cluster:c
306  → Update on Cluster:c
316  → Update on Cluster:c
329  → Update on Cluster:c
2001 → Update on Cluster:c
2002 → Update on Cluster:c
2004 → Update on Cluster:c
5001 → Update on Cluster:c
200056 → Update on Cluster:c

101  → Get on Cluster:c
219  → Get on Cluster:c
901  clusterName=d → Get on Cluster:d
106  → Get on Cluster:c
224  cluster=d → Get or List on Cluster:d

1004 → Get on Cluster:c
1005 → Get on Cluster:c
1006 → Get on Cluster:c
"""

BROKERS = {39, 40, 103, 104, 322, 326, 904, 905, 906, 908, 1001, 1002, 1003, 1008, 1012, 1013, 200073}
"""Codes that make their sender a broker, a name server or a controller: no policy grants them."""

IN_BODIES = {18, 34, 41, 42, 46, 200, 225, 400, 401, 513, 200071, 200151}
"""Codes whose bodies name what they touch: `test_bodies`."""

REQUIREMENTS = Requirements("c")


class Promised:
    """One line of the promise."""

    def __init__(self, line):
        head, _, tail = line.partition("→")
        code, *fields = head.split()
        needs, _, words = tail.partition(";") if ";" in tail else (tail, "", "")
        self.code = int(code)
        self.ext = {}
        self.touched, self.narrowing = [], []
        for field, _, value in (field.partition("=") for field in fields):
            name = field.rstrip("?~")
            self.ext[name] = value
            if field != name:
                (self.touched if field.endswith("?") else self.narrowing).append(name)
        self.needs = [need.strip() for need in needs.split(",") if need.strip()]
        self.always, self.own = "always" in words, "own" in words

    @property
    def needed(self):
        """The fields that no request may leave out."""
        return [field for field in self.ext if field not in (*self.touched, *self.narrowing)]

    @property
    def groups(self):
        """The fields that name groups."""
        return [field for field in self.ext if self.names(field) & self.of("Group")]

    @property
    def single(self):
        """The fields that name one thing each."""
        return [field for field in self.ext if len(self.names(field)) == 1 and field != "topicFilterType"]

    def names(self, field):
        """Return the resource that a field names."""
        return set(self.ext[field].replace(",", ";").split(";"))

    def of(self, kind):
        """Return the permissions on one type of resource."""
        return {name for need in self.needs for _, _, name in [need.partition(f"{kind}:")] if name}

    def without(self, *fields):
        """Return the permissions of a request without these fields."""
        gone = {name for field in fields for name in self.names(field)}
        return [need for need in self.needs if need.partition(":")[2] not in gone]


PROMISED = [Promised(line) for line in PROMISE.splitlines() if line]
DECOYS = {
    **dict.fromkeys((field for row in PROMISED for field in row.ext), "decoy"),
    **dict.fromkeys(
        ("lite", "liteTopic", "topicName", "resource", "a", "c", "n", "defaultTopic", "brokerName"), "decoy"
    ),
}
"""A value for every field that is read somewhere: one that a row does not name must not count."""


def rows_with(attribute):
    """Run a test for every row that has some of these."""
    rows = [row for row in PROMISED if getattr(row, attribute)]
    return pytest.mark.parametrize("row", rows, ids=lambda row: str(row.code))


def needs(row, **ext):
    return [need.text for need in REQUIREMENTS.permissions(Command(row.code, ext={**row.ext, **ext}))]


def test_every_code_is_promised_something():
    """Codes that are tested neither here nor with the bodies are for Super users only; no code is missing."""
    promised = [row.code for row in PROMISED]
    elsewhere = IN_BODIES | {RequestCode.UNREGISTER_CLIENT}
    assert len(set(promised)) == len(promised)
    assert elsewhere.isdisjoint(promised)
    for code in {*RequestCode, *OwnCode} - set(promised) - elsewhere:
        who = "a broker with the inner credentials, or a Super user," if code in BROKERS else "a Super user"
        with pytest.raises(PermissionsUnclear, match=f"^only {who} may send the request code {int(code)} {code.name}$"):
            REQUIREMENTS.permissions(Command(code, ext=dict(DECOYS)))
    assert len(TABLE) - len(promised) - len(elsewhere) == 55


@rows_with("code")
def test_a_request_that_names_everything_needs_what_is_promised(row):
    """In order; no field counts that the row does not name."""
    assert needs(row) == row.needs
    assert [need.text for need in REQUIREMENTS.permissions(Command(row.code, ext={**DECOYS, **row.ext}))] == row.needs


@rows_with("needed")
@pytest.mark.parametrize("value", [None, "", " \t"])
def test_a_field_that_is_needed_may_not_be_missing(row, value):
    """The message names the absent, empty or blank field."""
    for field in row.needed:
        ext = {**DECOYS, **row.ext, field: value}
        if value is None:
            del ext[field]
        with pytest.raises(PermissionsUnclear, match=f"the field `{field}`") as refused:
            REQUIREMENTS.permissions(Command(row.code, ext=ext))
        assert refused.value.reason == "missing-field"
        if field != "topicFilterType":
            (kind,) = [kind for kind in ("Topic", "Group", "Cluster") if row.names(field) & row.of(kind)]
            assert str(refused.value).startswith(f"the {kind.lower()} is missing: ")


@rows_with("touched")
@pytest.mark.parametrize("value", [None, "", " \t"])
def test_a_field_that_may_be_missing_is_then_asked_about(row, value):
    """By its handler: where something is always touched, and else where none of these fields names anything."""
    for count in range(len(row.touched) + 1):
        for missing in itertools.combinations(row.touched, count):
            ext = {**row.ext, **dict.fromkeys(missing, value or "")}
            for field in missing if value is None else ():
                del ext[field]
            command = Command(row.code, ext=ext)

            assert [need.text for need in REQUIREMENTS.permissions(command)] == row.without(*missing)
            assert is_pending(REQUIREMENTS, command) == (row.always or count == len(row.touched))


def test_what_is_always_asked_about():
    """If all optional fields are there, the handler need not ask."""
    pending = [row for row in PROMISED if is_pending(REQUIREMENTS, Command(row.code, ext=dict(row.ext)))]

    assert pending == [row for row in PROMISED if row.always]


@rows_with("narrowing")
def test_a_field_that_narrows_may_be_missing_but_not_blank(row):
    """White space is a name to some handlers and none to others."""
    for field in row.narrowing:
        assert needs(row, **{field: ""}) == row.without(field)
        with pytest.raises(PermissionsUnclear, match=f"the field `{field}`"):
            needs(row, **{field: " "})


@rows_with("own")
def test_a_retry_topic_is_used_by_its_own_group_only(row):
    """It needs the right on the group alone; the retry topic of any other group is refused."""
    for field in {"topic", "topicList"} & row.ext.keys():
        assert needs(row, **{field: "%RETRY%g"}) == row.without(field)
        for foreign in ("%RETRY%h", "%RETRY%", "%RETRY%gg"):
            with pytest.raises(PermissionsUnclear) as refused:
                needs(row, **{field: foreign})
            assert refused.value.reason == "foreign-retry-topic"
    if "topicList" in row.ext:
        with pytest.raises(PermissionsUnclear, match="not the retry topic"):
            needs(row, topicList="u;%RETRY%h")


def test_topics_that_are_used_as_a_group_are_its_own():
    """These rows with a topic and a group accept another group's retry topic.

    314 names two groups, 200077 no topic that is read. Each needs the retry topic's group.
    """
    groups = {"consumerGroup", "group", "compareGroup", "srcGroup"}
    topics = {"topic", "parentTopic", "topicList"}
    both = {row.code: row for row in PROMISED if groups & row.ext.keys() and topics & row.ext.keys()}

    assert {code for code, row in both.items() if not row.own} == {314, 200077}
    for code in (314, 200077):
        row = both[code]
        assert any(
            need.endswith("Group:victim")
            for need in needs(row, **{next(iter(topics & row.ext.keys())): "%RETRY%victim"})
        )


@rows_with("groups")
@pytest.mark.parametrize("name", ["%RETRY%g", "%DLQ%g"])
def test_a_group_is_not_named_by_its_topics(row, name):
    """The message names the missing field."""
    for field in row.groups:
        with pytest.raises(
            PermissionsUnclear, match=f"`{name}` in the field `{field}` is the name of a topic"
        ) as refused:
            needs(row, **{field: name})
        assert refused.value.reason == "topic-for-group"


@rows_with("single")
def test_a_field_that_names_one_thing_is_not_split(row):
    """This holds for every name."""
    for field in row.single:
        name = f"{string.punctuation}{string.ascii_letters} {row.ext[field]}"[2:]

        assert any(need.endswith(f":{name}") for need in needs(row, **{field: name}))


@pytest.mark.parametrize("topic", ["RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC"])
def test_the_end_of_a_transaction_may_name_the_store_of_half_messages(topic):
    """A client that answers a check of an Apache broker echoes it; the half message that is found decides."""
    command = Command(37, ext={"topic": topic})

    assert REQUIREMENTS.permissions(command) == ()
    assert is_pending(REQUIREMENTS, command)


def unregister(**ext):
    return [need.text for need in REQUIREMENTS.permissions(Command(35, ext=ext))]


def test_unregistering_needs_the_consumer_group_if_it_names_one():
    """Else it must name a producer group, which needs no right; the client id is asked about in any case."""
    assert unregister(clientID="c", consumerGroup="g", producerGroup="p") == ["Sub on Group:g"]
    assert unregister(clientID="c", consumerGroup="g") == ["Sub on Group:g"]
    for absent in ({}, {"consumerGroup": ""}, {"consumerGroup": " "}):
        assert unregister(clientID="c", producerGroup="p", **absent) == []
        for none in ({}, {"producerGroup": ""}, {"producerGroup": " "}):
            with pytest.raises(PermissionsUnclear, match="both `consumerGroup` and `producerGroup`") as refused:
                unregister(clientID="c", **absent, **none)
            assert refused.value.reason == "missing-field"
    for nobody in ({}, {"clientID": ""}, {"clientID": " "}):
        with pytest.raises(PermissionsUnclear, match="the client id is missing: the field `clientID`"):
            unregister(consumerGroup="g", producerGroup="p", **nobody)
    with pytest.raises(PermissionsUnclear, match="in the field `consumerGroup` is the name of a topic"):
        unregister(clientID="c", consumerGroup="%RETRY%g")
    assert is_pending(REQUIREMENTS, Command(35, ext={"clientID": "c", "consumerGroup": "g"}))


def test_of_the_requests_with_bodies_these_are_asked_about_when_they_are_served():
    """One acts for client ids, three create or change."""
    assert {code for code in IN_BODIES if is_pending(REQUIREMENTS, Command(code))} == {18, 200, 225, 200071}
