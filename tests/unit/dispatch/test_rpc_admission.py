"""Admission of gRPC calls: credentials, the freshness of their dates, and fields that never count."""

import base64
import datetime as dt

import pytest

from mqguard.auth.authentication import sign
from mqguard.auth.user import Secret
from mqguard.dispatch.rpc_admission import Freshness, RpcAdmission
from mqguard.guard.errors import DenialReason, Refused
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.guard.world import PEER, SECRET, World

NOW = dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)
NOW_MS = int(NOW.timestamp()) * 1000
HOUR = dt.timedelta(hours=1)
TODAY = f"{NOW:%Y%m%dT%H%M%SZ}"
ROUTE = pb.QueryRouteRequest(topic=pb.Resource(name="orders"))


class HeaderFields(dict):
    """The header fields of a call."""

    def field(self, name):
        return self.get(name, "")


def date_text(date):
    return f"{date:%Y%m%dT%H%M%SZ}"


def signed(date=TODAY, user="alice", secret=SECRET, **more):
    """Return the fields of a call that signs a date."""
    signature = base64.b64decode(sign(Secret(secret), date.encode())).hex()
    credentials = f"MQv2-HMAC-SHA1 Credential={user}/x, SignedHeaders=x-mq-date-time, Signature={signature}"
    return HeaderFields({"authorization": credentials, "x-mq-date-time": date, **more})


@pytest.fixture
def world():
    world = World()
    world.allow("alice", "Topic:orders", "Pub")
    return world


def admission(world, max_age_s=900):
    return RpcAdmission(world.guard, freshness=Freshness(max_age_s * 1000, lambda: NOW_MS) if max_age_s else None)


def admit(admission, fields, rpc="QueryRoute", message=ROUTE):
    return admission.admit(admission.request(rpc, message, fields, PEER))


def reason(admission, fields):
    with pytest.raises(Refused) as refused:
        admit(admission, fields)
    return refused.value.reason


def test_a_signed_call_is_admitted(world):
    assert admit(admission(world), signed()).user == "alice"


@pytest.mark.parametrize("shift", [-14 * HOUR, -9 * HOUR, -HOUR, 5.5 * HOUR, 14 * HOUR])
def test_a_local_time_is_accepted(world, shift):
    assert admit(admission(world), signed(date_text(NOW + shift))).user == "alice"


@pytest.mark.parametrize(
    "date",
    [
        date_text(NOW - 15 * HOUR), date_text(NOW + 15 * HOUR), "20200101T000000Z", "yesterday",
        (NOW - HOUR).isoformat(), (NOW + HOUR).isoformat(),
    ],
)  # fmt: skip
def test_an_old_signature_is_refused(world, date):
    assert reason(admission(world), signed(date)) is DenialReason.STALE_SIGNATURE
    assert admit(admission(world, max_age_s=0), signed(date)).user == "alice"


def test_an_old_signature_is_refused_on_a_connection_that_has_authenticated(world):
    admitting = admission(world)
    admit(admitting, signed())
    assert reason(admitting, signed("20200101T000000Z")) is DenialReason.STALE_SIGNATURE


def test_an_open_stream_goes_on_with_its_first_date(world):
    """A client sends its settings again on the stream that it opened days ago."""
    admitting = admission(world)
    request = admitting.request("QueryRoute", ROUTE, signed("20200101T000000Z"), PEER, is_stream_open=True)
    assert admitting.admit(request).user == "alice"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (HeaderFields(), DenialReason.NO_CREDENTIALS),
        (signed(secret="wrong"), DenialReason.WRONG_SIGNATURE),
        (signed(user="nobody"), DenialReason.UNKNOWN_USER),
        (HeaderFields(authorization="MQv2-HMAC-SHA1"), DenialReason.MALFORMED_CREDENTIALS),
        (signed() | {"authorization": "x Credential=alice,Signature=0"}, DenialReason.MALFORMED_CREDENTIALS),
    ],
)
def test_each_refusal_has_its_reason(world, fields, expected):
    assert reason(admission(world), HeaderFields(fields)) is expected


def test_fields_of_other_servers_never_count(world):
    claims = {"x-mq-authorization-ak": "rocketmq", "x-mq-channel-id": "1", "rpc-remote-address": "10.0.0.1:1"}
    assert reason(admission(world), HeaderFields(claims)) is DenialReason.NO_CREDENTIALS
    admitted = admit(admission(world), signed(**claims))
    assert (admitted.user, admitted.peer) == ("alice", PEER)
