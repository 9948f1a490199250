"""Diagnosis of one client: each of its requests, decided by policies, and the smallest change that allows all.

The permissions of each request come from the table that the guard itself uses.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.decide import decide
from mqguard.auth.minimal_change import MinimalChange, apply_to_acl, apply_to_user, find_minimal_change
from mqguard.auth.policy import Acl, Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import Address
from mqguard.auth.user import Subject
from mqguard.auth.verdict import AccessRequest, Verdict, denial_message
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.model.names import dlq_topic, retry_topic
from mqguard.remoting.bodies.clients import ConsumerData, HeartbeatData, ProducerData, SubscriptionData
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode
from mqguard.remoting.command import Command

_UNKNOWN_SOURCE = "an unknown address"


class ClientRequest(NamedTuple):
    """One request of a client, or one permission that its handler checks.

    Attributes:
        title: The purpose of the request.
        code: Request code.
        effect: The consequence for the client if the request is denied.
        ext: Header fields that name resources.
        body: Body of the request.
        touched: Further permissions, which the server checks when it serves the request.
    """

    title: str
    code: RequestCode
    effect: str
    ext: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    touched: tuple[RequiredPermission, ...] = ()


class CheckedPermission(NamedTuple):
    """One permission that a request needs, with its decision.

    Attributes:
        need: The permission; one of its actions is enough.
        verdict: The decision.
    """

    need: RequiredPermission
    verdict: Verdict


class CheckedRequest(NamedTuple):
    """One decided request.

    Attributes:
        request: The request.
        permissions: The permissions that it needs, up to the first one that is denied.
        message: Error message that the client receives; empty if the request is allowed.
    """

    request: ClientRequest
    permissions: tuple[CheckedPermission, ...]
    message: str

    @property
    def is_allowed(self) -> bool:
        """True if the user has every permission."""
        return not self.message


class Diagnosis(NamedTuple):
    """The decided requests of a client.

    Attributes:
        requests: The requests in the order in which a client sends them.
        changes: The smallest changes that allow every request, one after the other; empty if all are allowed.
        is_complete: True if these changes allow every request.
    """

    requests: tuple[CheckedRequest, ...]
    changes: tuple[MinimalChange, ...]
    is_complete: bool

    @property
    def is_allowed(self) -> bool:
        """True if every request is allowed."""
        return all(request.is_allowed for request in self.requests)


def consumer_requests(topic: str, group: str) -> list[ClientRequest]:
    """Return the requests of a consumer of one topic."""
    both = {"topic": topic, "consumerGroup": group, "queueId": "0"}
    retry, dead = retry_topic(group), dlq_topic(group)
    subscriptions = [SubscriptionData(topic), SubscriptionData(retry)]
    heartbeat = HeartbeatData("doctor", consumer_data_set=[ConsumerData(group, subscription_data_set=subscriptions)])
    came_from = RequiredPermission(ResourceType.TOPIC, topic, frozenset({Action.SUB}))
    code = RequestCode
    return [
        ClientRequest(
            "route of the topic", code.GET_ROUTEINFO_BY_TOPIC, "the client reports that the topic has no route", both
        ),
        ClientRequest(
            "heartbeat",
            code.HEART_BEAT,
            "the client does not join the group, so it receives nothing",
            body=encode(heartbeat),
        ),
        ClientRequest(
            "members of the group", code.GET_CONSUMER_LIST_BY_GROUP, "the client gets no queues to read", both
        ),
        ClientRequest("stored offset", code.QUERY_CONSUMER_OFFSET, "the client does not begin to read", both),
        ClientRequest("bounds of a queue", code.GET_MAX_OFFSET, "the client cannot find where to begin", both),
        ClientRequest("pull", code.PULL_MESSAGE, "the client receives no messages", both),
        ClientRequest("store the offset", code.UPDATE_CONSUMER_OFFSET, "messages are delivered again", both),
        ClientRequest(
            "give a message back",
            code.CONSUMER_SEND_MSG_BACK,
            "a message whose processing fails is not delivered again",
            {"group": group},
            touched=(came_from,),
        ),
        ClientRequest(
            "pull of the retry topic",
            code.PULL_MESSAGE,
            "messages whose processing failed do not come back",
            {**both, "topic": retry},
        ),
        ClientRequest(
            "pull of the dead letters",
            code.PULL_MESSAGE,
            "the dead letters of the group cannot be read",
            {**both, "topic": dead},
            touched=(came_from,),
        ),
    ]


def producer_requests(topic: str) -> list[ClientRequest]:
    """Return the requests of a producer for one topic."""
    code = RequestCode
    heartbeat = HeartbeatData("doctor", producer_data_set=[ProducerData("doctor")])
    half = RequiredPermission(ResourceType.TOPIC, topic, frozenset({Action.PUB}))
    return [
        ClientRequest(
            "route of the topic",
            code.GET_ROUTEINFO_BY_TOPIC,
            "the client reports that the topic has no route",
            {"topic": topic},
        ),
        ClientRequest("heartbeat", code.HEART_BEAT, "no transaction is checked", body=encode(heartbeat)),
        ClientRequest("send", code.SEND_MESSAGE_V2, "the send fails", {"b": topic}),
        ClientRequest(
            "end of a transaction",
            code.END_TRANSACTION,
            "a transactional message is not committed",
            {"topic": topic},
            touched=(half,),
        ),
    ]


def diagnose(
    state: AccessState, user: str, requests: Sequence[ClientRequest], source: Address | None, cluster: str
) -> Diagnosis:
    """Decide the requests of a client, and find the smallest change that allows all of them.

    Args:
        state: Users and policies.
        user: Name of the user that the client signs as.
        requests: Requests of the client.
        source: Address of the client; None if it is not known.
        cluster: Name of the cluster.
    """
    table = Requirements(cluster)
    needs = [_needs(table, request) for request in requests]
    checked = tuple(
        _checked(state, user, request, found, source) for request, found in zip(requests, needs, strict=True)
    )
    changes, end = _changes(state, user, [need for found in needs for need in found], source)
    complete = all(decide(_asked(need, source), end.rights(user)).allowed for found in needs for need in found)
    return Diagnosis(checked, tuple(changes), complete)


def _needs(table: Requirements, request: ClientRequest) -> tuple[RequiredPermission, ...]:
    command = Command(request.code, 0, 0, SERVER_VERSION, LanguageCode.JAVA, None, dict(request.ext), request.body)
    return tuple(dict.fromkeys((*table.permissions(command), *request.touched)))


def _checked(
    state: AccessState,
    user: str,
    request: ClientRequest,
    needs: Iterable[RequiredPermission],
    source: Address | None,
) -> CheckedRequest:
    found: list[CheckedPermission] = []
    rights = state.rights(user)
    for need in needs:
        verdict = decide(_asked(need, source), rights)
        found.append(CheckedPermission(need, verdict))
        if not verdict.allowed:
            text = str(source) if source is not None else _UNKNOWN_SOURCE
            return CheckedRequest(request, tuple(found), denial_message(user, need.type, need.name, text, verdict))
    return CheckedRequest(request, tuple(found), "")


def _changes(
    state: AccessState, user: str, needs: Iterable[RequiredPermission], source: Address | None
) -> tuple[list[MinimalChange], AccessState]:
    """Return changes that allow every permission, and the state after them.

    Permissions with few actions to choose from come first: what they grant often allows the others too.
    """
    changes: list[MinimalChange] = []
    for need in sorted(dict.fromkeys(needs), key=lambda need: len(need.actions)):
        request = _asked(need, source)
        rights = state.rights(user)
        if decide(request, rights).allowed:
            continue
        change = find_minimal_change(user, request, rights, state.acls.get(user) if rights is None else None)
        if change is None:
            break
        changes.append(change)
        state = _applied(state, user, change)
    return changes, state


def _applied(state: AccessState, user: str, change: MinimalChange) -> AccessState:
    acl = apply_to_acl(state.acls.get(user) or Acl(Subject(user), ()), change)
    return AccessState.of([apply_to_user(user, state.users.get(user), change)], [acl])


def _asked(need: RequiredPermission, source: Address | None) -> AccessRequest:
    return AccessRequest(need.type, need.name, need.actions, source)
