"""The lite topics of consumers: SyncLiteSubscription.

The brokers keep the subscriptions of a client by its user and its client id, so no user changes those of another one.
"""

from typing import Any, Final

import msgspec

from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.model.topic import LiteSettings, SubscriptionGroupConfig
from mqguard.proxy.grpc import statuses
from mqguard.proxy.grpc.clients import GrpcClient, GrpcClients
from mqguard.proxy.grpc.messages import require_lite_topic
from mqguard.proxy.grpc.ports import Backend, OnAnswer
from mqguard.proxy.grpc.routes import require_group, require_topic
from mqguard.proxy.grpc.rpc_call import Rpc, RpcCall
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command
from mqguard.rpc.protocol import messages_pb2 as pb

MAX_OVER_QUOTA: Final = 300
"""Lite topics by which a client may exceed its quota in one call; brokers count exactly (Apache: `ClientActivity`)."""
_POLICIES: Final = {pb.OffsetOption.LAST: 0, pb.OffsetOption.MIN: 1, pb.OffsetOption.MAX: 2}


class LiteHandlers:
    """Handlers for lite topics.

    Args:
        backend: The brokers.
        clients: The clients.
        settings: Limits.
    """

    def __init__(self, backend: Backend, clients: GrpcClients, settings: ProxySettings) -> None:
        self._backend = backend
        self._clients = clients
        self._settings = settings

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs."""
        return [
            Rpc(
                "SyncLiteSubscription",
                pb.SyncLiteSubscriptionRequest,
                pb.SyncLiteSubscriptionResponse,
                self.synchronize,
            )
        ]

    def synchronize(self, call: RpcCall, request: pb.SyncLiteSubscriptionRequest) -> None:
        """Change the lite topics to which a client has subscribed."""
        call.access.pending = False  # a client id is that of the sender
        topic, group = require_topic(request.topic.name), require_group(request.group.name)
        client = self._clients.find(call.access.owner, call.client_id)
        if client is None or not client.is_lite or client.group != group:
            raise CallRefused(
                pb.UNRECOGNIZED_CLIENT_TYPE, "the client has not sent the settings of a consumer of lite topics yet"
            )
        action = _action(request.action)
        for name in request.lite_topic_set:
            require_lite_topic(name)

        def with_group(config: SubscriptionGroupConfig | None) -> None:
            lite = None if config is None else LiteSettings.of(config.attributes)
            if lite is None:
                raise CallRefused(pb.ILLEGAL_CONSUMER_GROUP, f"the group `{group}` has no parent (`lite.bind.topic`)")
            if lite.parent != topic:
                raise CallRefused(pb.ILLEGAL_TOPIC, f"the parent of the group `{group}` is another topic")
            count = len(request.lite_topic_set)
            if 0 <= lite.quota < count - MAX_OVER_QUOTA:
                raise CallRefused(
                    pb.LITE_SUBSCRIPTION_QUOTA_EXCEEDED,
                    f"the call has {count} lite topics, and the quota of a client is {lite.quota}",
                )

            def changed(answer: Command) -> None:
                call.reply(pb.SyncLiteSubscriptionResponse(status=statuses.of_answer(answer)))

            self._change(client, action, topic, request, call.access, call.then(changed))

        self._backend.group(group, call.access, call.then(with_group))

    def leave(self, client: GrpcClient, access: AdmittedRequest) -> None:
        """Remove all subscriptions of a client that ends."""
        if client.is_lite and client.settings is not None and client.settings.subscription.subscriptions:
            parent = client.settings.subscription.subscriptions[0].topic.name
            nothing = pb.SyncLiteSubscriptionRequest()
            self._change(client, "COMPLETE_REMOVE", parent, nothing, access, lambda _answer: None)

    def _change(
        self,
        client: GrpcClient,
        action: str,
        topic: str,
        request: pb.SyncLiteSubscriptionRequest,
        access: AdmittedRequest,
        on_answer: OnAnswer,
    ) -> None:
        entry: dict[str, Any] = {
            "action": action,
            "clientId": client.client_id,
            "group": client.group,
            "topic": topic,
            "liteTopicSet": list(dict.fromkeys(request.lite_topic_set)),
        }
        if request.HasField("version"):
            entry["version"] = request.version
        if request.HasField("offset_option"):
            entry["offsetOption"] = _offset_option(request.offset_option)
        body = msgspec.json.encode({"subscriptionSet": [entry]})
        self._backend.request_of(client, Command(RequestCode.LITE_SUBSCRIPTION_CTL, body=body), access, on_answer)


def _action(number: int) -> str:
    if number not in pb.LiteSubscriptionAction.values():
        raise CallRefused(pb.BAD_REQUEST, f"`action` is {number}, and not one of the actions")
    return pb.LiteSubscriptionAction.Name(number)


def _offset_option(option: pb.OffsetOption) -> dict[str, object]:
    """Return an offset option in the form of brokers.

    Raises:
        CallRefused: It is not valid.
    """
    kind = option.WhichOneof("offset_type")
    if kind == "policy" and option.policy in _POLICIES:
        return {"type": "POLICY", "value": _POLICIES[option.policy]}
    if kind == "offset" and option.offset >= 0:
        return {"type": "OFFSET", "value": option.offset}
    if kind == "tail_n" and option.tail_n >= 0:
        return {"type": "TAIL_N", "value": option.tail_n}
    if kind == "timestamp" and option.timestamp >= 0:
        return {"type": "TIMESTAMP", "value": option.timestamp}
    raise CallRefused(pb.ILLEGAL_OFFSET, "`offset_option` has no valid value")
