"""Consumer groups: create, change, delete and read (200, 201, 207, 225, 352, 353)."""

import msgspec

from mqguard.auth.resource import ResourceType
from mqguard.broker.group_rules import FORBIDDEN, is_forbidden, refuse_reserved, with_forbidden
from mqguard.broker.report_bodies import page_of
from mqguard.dispatch.request import Handler, Request
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchGroup
from mqguard.guard.message_authorization import require_put
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.remoting.bodies.codec import Body, decode, encode
from mqguard.remoting.bodies.groups import GroupConfigBody, GroupConfigs, GroupTable
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.groups import DeleteGroupHeader, GroupForbiddenHeader, GroupHeader, GroupSeqHeader


class GroupForbidden(Body):
    """Answer of 353."""

    group: str
    topic: str
    readable: bool


class GroupProcessor:
    """Handlers that change and return consumer groups.

    Args:
        engine: Engine, which has the groups.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: self.put,
            RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: self.put_all,
            RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG: self.all,
            RequestCode.DELETE_SUBSCRIPTIONGROUP: self.delete,
            RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG: self.get,
            RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN: self.forbid,
        }

    def put(self, request: Request) -> Reply:
        """Create or change a group (200)."""
        self._put_all(request, [decode(request.command.body, GroupConfigBody)])
        return Reply(stored=True)

    def put_all(self, request: Request) -> Reply:
        """Create or change several groups (225), up to the first invalid one, which the answer names."""
        self._put_all(request, decode(request.command.body, GroupConfigs).group_config_list)
        return Reply(stored=True)

    def all(self, request: Request) -> Reply:
        """Return all groups, or a page of them (201)."""
        header = read(request.command.ext, GroupSeqHeader)
        groups = self._engine.groups
        page, total = page_of(list(map(_shown, groups.all())), header.group_seq, header.max_group_num)
        body = encode(GroupTable.of(page, groups.data_version))
        return Reply(ext={} if total is None else {"totalGroupNum": str(total)}, body=body)

    def delete(self, request: Request) -> Reply:
        """Delete a group, and its offsets if the request says so (207)."""
        header = read(request.command.ext, DeleteGroupHeader)
        refuse_reserved(header.group_name)
        self._engine.groups.delete(header.group_name, clean_offsets=header.clean_offset)
        return Reply(stored=True)

    def get(self, request: Request) -> Reply:
        """Return a group (352). For a missing one, return what consuming would create, if that is allowed.

        Proxies of 5.5 request every group that a client names, and refuse the client if there is none. This handler
        creates nothing, because the request is a read and needs no permission to create.
        """
        group = self._engine.groups.preview(read(request.command.ext, GroupHeader).group)
        return Reply(body=encode(GroupConfigBody.of(_shown(group))))

    def forbid(self, request: Request) -> Reply:
        """Forbid or permit a group to read a topic, or return the current state (353)."""
        header = read(request.command.ext, GroupForbiddenHeader)
        group = self._engine.groups.get(header.group)
        if group is None:
            raise NoSuchGroup(f"subscription group [{header.group}] does not exist")
        if header.readable is not None:
            group = with_forbidden(group, header.topic, forbidden=not header.readable)
            self._engine.groups.put(group)
        answer = GroupForbidden(group=header.group, topic=header.topic, readable=not is_forbidden(group, header.topic))
        return Reply(body=encode(answer), stored=True)

    def _put_all(self, request: Request, bodies: list[GroupConfigBody]) -> None:
        for body in bodies:
            exists = self._engine.groups.get(body.group_name) is not None
            require_put(request.access, ResourceType.GROUP, body.group_name, exists=exists)
        for body in bodies:
            self._put(body.value(), request.access.creator)

    def _put(self, group: SubscriptionGroupConfig, creator: str | None) -> None:
        refuse_reserved(group.name)
        old = self._engine.groups.get(group.name)
        attributes = dict(old.attributes) if old else {}
        for change, value in group.attributes.items():
            name = change[1:] if change[:1] in {"+", "-"} else change
            if name == FORBIDDEN:
                continue
            if change[:1] == "-":
                attributes.pop(name, None)
            else:
                attributes[name] = value
        self._engine.groups.put(msgspec.structs.replace(group, attributes=attributes), creator)
        # To tools, a group without a route to its retry topic does not exist.
        self._engine.groups.with_retry_topic(group.name)


def _shown(group: SubscriptionGroupConfig) -> SubscriptionGroupConfig:
    """Return the group without the attribute that only the broker uses."""
    if FORBIDDEN not in group.attributes:
        return group
    attributes = {name: value for name, value in group.attributes.items() if name != FORBIDDEN}
    return msgspec.structs.replace(group, attributes=attributes)
