"""The form of JSON bodies that are decided by their content: a broker must read in them what the guard has read.

Source: Apache RocketMQ 4.9 reads JSON with fastjson 1, which ignores case, `_` and `-` in names, and accepts classes by
name.
"""

import json
from typing import Final

from mqguard.dispatch.request import RequestRefused
from mqguard.model.text import visible
from mqguard.remoting.codes import RequestCode, ResponseCode

_NAMES: Final = (
    "acks", "brokerName", "c", "clientID", "clientId", "consumerDataSet", "consumerGroup", "group", "groupConfigList",
    "groupName", "liteTopicSet", "mode", "mqSet", "producerDataSet", "queueId", "subscriptionData",
    "subscriptionDataSet", "subscriptionSet", "t", "topic", "topicConfigList", "topicName", "withoutSub",
)  # fmt: skip
"""Members that name what a request touches."""

DECIDED_BY_BODY: Final = frozenset(
    {
        RequestCode.HEART_BEAT,
        RequestCode.LOCK_BATCH_MQ,
        RequestCode.UNLOCK_BATCH_MQ,
        RequestCode.CHECK_CLIENT_CONFIG,
        RequestCode.QUERY_ASSIGNMENT,
        RequestCode.SET_MESSAGE_REQUEST_MODE,
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
        RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
        RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC,
        RequestCode.BATCH_ACK_MESSAGE,
        RequestCode.LITE_SUBSCRIPTION_CTL,
    }
)
"""Requests whose permissions depend on a JSON body."""


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


_EXACT: Final[dict[str, set[str]]] = {}
for _name in _NAMES:
    _EXACT.setdefault(_folded(_name), set()).add(_name)


def check_form(body: bytes) -> None:
    """Check that all readers of JSON find the same in a body.

    Raises:
        RequestRefused: It is not standard JSON, or a name in it is ambiguous.
    """
    try:
        json.loads(body, object_pairs_hook=_check_members)
    except (ValueError, RecursionError):
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, "the body is not standard JSON, so servers may read it in another way"
        ) from None


def _check_members(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        folded = _folded(name)
        exact = _EXACT.get(folded)
        if folded in seen or name.startswith("@") or (exact is not None and name not in exact):
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"the member `{visible(name[:64])}` of the body is ambiguous: write each name once, in its exact form",
            )
        seen.add(folded)
