"""Answers that name brokers: clients read the addresses at which the guard offers them."""

from collections.abc import Callable, Mapping

import msgspec

from mqguard.proxy.sessions.ports import RewriteAnswer
from mqguard.remoting.bodies.codec import decode_leniently, encode
from mqguard.remoting.bodies.topics import BrokerData, ClusterInfo, TopicRouteData
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command

Advertised = Callable[[str], str | None]
"""Returns the address of the guard for an address of a broker; None if the guard has none for it (yet)."""


def route_rules(advertised: Advertised) -> Mapping[int, RewriteAnswer]:
    """Return the changes of answers, by request code. An address without one of the guard is left out."""

    def route(_request: Command, answer: Command) -> Command:
        if answer.code != ResponseCode.SUCCESS:
            return answer
        body = decode_leniently(answer.body, TopicRouteData)
        brokers = [_rewritten(data, advertised) for data in body.broker_datas]
        changed = msgspec.structs.replace(
            body, broker_datas=[data for data in brokers if data.broker_addrs], filter_server_table={}
        )
        return msgspec.structs.replace(answer, body=encode(changed))

    def cluster(_request: Command, answer: Command) -> Command:
        if answer.code != ResponseCode.SUCCESS:
            return answer
        body = decode_leniently(answer.body, ClusterInfo)
        table = {name: _rewritten(data, advertised) for name, data in body.broker_addr_table.items()}
        return msgspec.structs.replace(answer, body=encode(msgspec.structs.replace(body, broker_addr_table=table)))

    return {RequestCode.GET_ROUTEINFO_BY_TOPIC: route, RequestCode.GET_BROKER_CLUSTER_INFO: cluster}


def _rewritten(data: BrokerData, advertised: Advertised) -> BrokerData:
    found = {key: advertised(address) for key, address in data.broker_addrs.items()}
    return msgspec.structs.replace(data, broker_addrs={key: one for key, one in found.items() if one is not None})
