"""The rules of a listener: for a broker, and for the name servers."""

from collections.abc import Mapping
from typing import Final

from mqguard.dispatch.request import Handler, Request
from mqguard.proxy.sessions.addresses import AddressMap
from mqguard.proxy.sessions.answer_filters import FILTERS
from mqguard.proxy.sessions.client_registry import ClientRegistry
from mqguard.proxy.sessions.lookups import Lookups
from mqguard.proxy.sessions.message_rules import MessageRules
from mqguard.proxy.sessions.object_checks import ObjectChecks
from mqguard.proxy.sessions.ports import RewriteRequest, Rules
from mqguard.proxy.sessions.rewriting import topic_registration
from mqguard.remoting.bodies.clients import LockBatch
from mqguard.remoting.bodies.codec import decode
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

_ALWAYS_CHECKED: Final = frozenset({RequestCode.RECALL_MESSAGE})


def broker_rules(handlers: Mapping[int, Handler], lookups: Lookups, clients: ClientRegistry) -> Rules:
    """Return the rules of a broker's listener.

    Args:
        handlers: Requests that the guard answers itself.
        lookups: Look-ups at the broker.
        clients: The connected clients.
    """
    messages = MessageRules(clients)

    def locks(request: Request) -> Command:
        clients.check_locks(request, decode(request.command.body, LockBatch).client_id)
        return request.command

    requests: dict[int, RewriteRequest] = {
        RequestCode.SEND_MESSAGE: messages.send,
        RequestCode.SEND_MESSAGE_V2: messages.send_v2,
        RequestCode.SEND_BATCH_MESSAGE: messages.send_v2,
        RequestCode.HEART_BEAT: clients.heartbeat,
        RequestCode.LOCK_BATCH_MQ: locks,
        RequestCode.UNLOCK_BATCH_MQ: locks,
    }
    return Rules(
        handlers,
        ObjectChecks(lookups, clients).checks(),
        requests,
        FILTERS,
        _ALWAYS_CHECKED,
        clients.check_request,
        clients.leave,
    )


def name_server_rules(handlers: Mapping[int, Handler], addresses: AddressMap) -> Rules:
    """Return the rules of the listener of the name servers.

    Args:
        handlers: Requests that the guard answers itself.
        addresses: Addresses of the brokers.
    """

    def register(request: Request) -> Command:
        return topic_registration(request.command, addresses)

    return Rules(handlers, {}, {RequestCode.REGISTER_TOPIC_IN_NAMESRV: register}, {})
