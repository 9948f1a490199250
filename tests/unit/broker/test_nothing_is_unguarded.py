"""Each served code denies senders without rights, with any fields present or missing.

These are anonymous senders, unknown users, users with a wrong signature, a disabled Super user, and a user without
policies.
"""

import json

import pytest

from mqguard.auth.user import UserStatus
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import RequestCode, ResponseCode
from tests.unit.broker.conftest import House
from tests.unit.broker.test_any_input import GOOD, STRICT, USUAL, codes
from tests.unit.namesrv.conftest import Directory

SERVED = [(House, code) for code in codes(House)] + [(Directory, code) for code in codes(Directory)]

BEFORE_IT_IS_KNOWN = {
    RequestCode.VIEW_MESSAGE_BY_ID: (ResponseCode.INVALID_PARAMETER, ResponseCode.SYSTEM_ERROR),
    RequestCode.END_TRANSACTION: (ResponseCode.INVALID_PARAMETER, ResponseCode.SYSTEM_ERROR),
    RequestCode.RESUME_CHECK_HALF_MESSAGE: (ResponseCode.INVALID_PARAMETER, ResponseCode.SYSTEM_ERROR),
}
"""How a request may fail whose need is known only when the message is: no place is named, or nothing is there."""

BODIES = [json.dumps(GOOD).encode(), *(json.dumps(body).encode() for body in STRICT), b"queues=1", b""]


def answers(house, code, **how):
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.groups.with_retry_topic("g")
    house.engine.group_commit.commit()
    for ext in (USUAL, {}):
        for body in BODIES:
            yield house.call(code, ext, body, **how)


def state(house):
    users = [(user.name, user.type, user.status) for user in house.manager.list_users()]
    return users, house.manager.list_acls(), house.engine.topics.all(), house.engine.groups.all(), house.routes.topics()


@pytest.mark.parametrize(("kind", "code"), SERVED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_user_without_rights_is_refused(kind, code):
    house = kind()
    house.user("poor")
    house.user("off", ("*", "All"))
    house.manager.update_user("off", status=UserStatus.DISABLE)
    list(answers(house, RequestCode.GET_BROKER_CLUSTER_INFO))
    before = state(house)
    for user in (None, "stranger", "off", "poor"):
        for answer in answers(house, code, user=user):
            assert answer.code in {ResponseCode.NO_PERMISSION, *BEFORE_IT_IS_KNOWN.get(code, ())}, (user, answer)
            assert answer.body == b""
            assert "[decision " in answer.remark or answer.code != ResponseCode.NO_PERMISSION
    assert state(house) == before


@pytest.mark.parametrize(("kind", "code"), SERVED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_forged_signature_is_refused(kind, code):
    house = kind()
    for ext in (USUAL, {}):
        answer = house.call(code, {**ext, "AccessKey": "root", "Signature": "AAAA"}, BODIES[0], user=None)
        assert answer.code == ResponseCode.NO_PERMISSION
