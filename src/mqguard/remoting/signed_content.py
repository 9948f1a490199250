"""The signed content of a request, and the requests of a fixed form, whose every value must be read.

The signed text of a request is its values in the order of their names, then its body; it does not cover the names. A
request with a free field could contain the signed text of another request: a message that a Super user sent would
become `create a Super user`.
"""

import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from mqguard.remoting.codes import VERSION_4_9_3, OwnCode, RequestCode
from mqguard.remoting.command import BodyInvalid, Command, HeaderInvalid

ACCESS_KEY: Final = "AccessKey"
SIGNATURE: Final = "Signature"
SECURITY_TOKEN: Final = "SecurityToken"  # noqa: S105, the field's name
UNIQUE_KEY_QUERY: Final = "_UNIQUE_KEY_QUERY"

_MAX_CACHED_NAMES: Final = 512
"""Maximum total length of field names with a cached order: a peer chooses the names, so memory must be bounded."""
_MAX_PICKERS: Final = 512
"""Maximum number of cached orders; at the maximum the cache is cleared."""

_Picker = Callable[[dict[str, str]], tuple[str, ...]]

# Functions that return the values in order, by the names as received: for clients up to 4.9.3, and for all others.
# Clients send few sets of names, so each is sorted once.
_legacy_pickers: dict[tuple[str, ...], _Picker] = {}
_pickers: dict[tuple[str, ...], _Picker] = {}


def signed_content(ext: dict[str, str], body: bytes, version: int) -> bytes:
    """Return the bytes that a request's signature covers: all ext values in the order of their names, then the body.

    The signature does not cover the names themselves, nor code, opaque, flags and remark.

    Args:
        ext: Ext fields as received; `Signature` itself is excluded.
        body: The body as received.
        version: The sender's version; up to 4.9.3 `_UNIQUE_KEY_QUERY` is excluded too.
    """
    names = tuple(ext)
    pick = (_legacy_pickers if version <= VERSION_4_9_3 else _pickers).get(names)
    if pick is None:
        pick = _learn(names, legacy=version <= VERSION_4_9_3)
    return "".join(pick(ext)).encode("utf-8", "surrogatepass") + body


def _learn(names: tuple[str, ...], *, legacy: bool) -> _Picker:
    order = _order(names, legacy=legacy)
    pick: _Picker = operator.itemgetter(*order) if len(order) > 1 else lambda ext: tuple([ext[name] for name in order])
    if sum(map(len, names)) <= _MAX_CACHED_NAMES:
        pickers = _legacy_pickers if legacy else _pickers
        if len(pickers) >= _MAX_PICKERS:
            pickers.clear()
        pickers[names] = pick
    return pick


def _order(names: tuple[str, ...], *, legacy: bool) -> list[str]:
    # Java compares UTF-16 code units; for ASCII names that is the order of the code points.
    skipped = (SIGNATURE, UNIQUE_KEY_QUERY) if legacy else (SIGNATURE,)
    kept = [name for name in names if name not in skipped]
    return sorted(kept, key=lambda name: name.encode("utf-16-be", "surrogatepass"))


_Check = Callable[[str], object]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MAX_SHOWN: Final = 64


class _Kind(NamedTuple):
    """The allowed values of a field.

    Attributes:
        accepts: Returns something true for a value of the kind.
        description: The kind in words.
    """

    accepts: _Check
    description: str


class ExactForm(NamedTuple):
    """The allowed fields of a request.

    Attributes:
        fields: The kind of each field's value, by the field's name.
        has_body: True if the request may have a body.
    """

    fields: Mapping[str, _Kind]
    has_body: bool


def _matching(pattern: str, description: str) -> _Kind:
    return _Kind(re.compile(pattern).fullmatch, description)


_READ = _Kind(lambda value: _CONTROL.search(value) is None, "a text without control characters")
"""A value that the handler reads. Message properties contain control characters, so no signed message fits in it."""
_NAME = _matching(r"[A-Za-z0-9_%|-]{0,127}", "a name of up to 127 letters, digits, `_`, `-`, `%` and `|`")
_ZONE = _matching(r"[A-Za-z0-9_.-]{0,24}", "a name of up to 24 letters, digits, `_`, `-` and `.`")
_FLAG = _matching(r"(?i:true|false)?", "`true` or `false`")
_EMPTY = _matching("", "empty: a signature does not cover the end of a security token")
_ONE = _matching("1", "`1`")
_FILTER_TYPE = _matching("SINGLE_TAG|MULTI_TAG", "`SINGLE_TAG` or `MULTI_TAG`")

_EVERYWHERE: Final[Mapping[str, _Kind]] = {
    ACCESS_KEY: _Kind(lambda _value: True, "a user"),
    SIGNATURE: _Kind(lambda _value: True, "a signature"),
    SECURITY_TOKEN: _EMPTY,
    # Fields that Java's request hooks and header classes add to every request.
    "nsd": _FLAG,
    "oway": _FLAG,
    "lo": _FLAG,
    "ReqT": _matching("0?", "`0`"),
    "__ZONE_NAME": _ZONE,
    "__ZONE_MODE": _ZONE,
}


def _form(*read: str, has_body: bool = False, **kinds: _Kind) -> ExactForm:
    return ExactForm({**_EVERYWHERE, **dict.fromkeys(read, _READ), **kinds}, has_body)


FORMS: Final[Mapping[int, ExactForm]] = MappingProxyType(
    {
        RequestCode.UPDATE_AND_CREATE_TOPIC: _form(
            *("topic", "readQueueNums", "writeQueueNums", "perm", "topicSysFlag", "attributes"),
            topicFilterType=_FILTER_TYPE,
            order=_FLAG,
            force=_FLAG,
            # Every client may create topics, with a namespace too.
            defaultTopic=_NAME,
            ns=_NAME,
            bname=_NAME,
        ),
        RequestCode.UPDATE_AND_CREATE_TOPIC_LIST: _form(has_body=True),
        RequestCode.UPDATE_BROKER_CONFIG: _form(has_body=True),
        RequestCode.PUT_KV_CONFIG: _form("namespace", "key", "value"),
        RequestCode.DELETE_KV_CONFIG: _form("namespace", "key"),
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: _form(has_body=True),
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: _form(has_body=True),
        RequestCode.WIPE_WRITE_PERM_OF_BROKER: _form("brokerName"),
        RequestCode.ADD_WRITE_PERM_OF_BROKER: _form("brokerName"),
        RequestCode.DELETE_SUBSCRIPTIONGROUP: _form("groupName", cleanOffset=_FLAG),
        RequestCode.DELETE_TOPIC_IN_BROKER: _form("topic"),
        RequestCode.DELETE_TOPIC_IN_NAMESRV: _form("topic", "clusterName"),
        RequestCode.REGISTER_TOPIC_IN_NAMESRV: _form("topic", has_body=True),
        RequestCode.CLONE_GROUP_OFFSET: _form("srcGroup", "destGroup", "topic", offline=_FLAG),
        RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN: _form("group", "topic", readable=_FLAG),
        RequestCode.UPDATE_NAMESRV_CONFIG: _form(has_body=True),
        RequestCode.AUTH_CREATE_USER: _form("username", has_body=True),
        RequestCode.AUTH_UPDATE_USER: _form("username", "keepOldSecretMs", has_body=True),
        RequestCode.AUTH_DELETE_USER: _form("username"),
        RequestCode.AUTH_GET_USER: _form("username", mqguardSecrets=_ONE),
        RequestCode.AUTH_LIST_USER: _form("filter", mqguardSecrets=_ONE),
        RequestCode.AUTH_CREATE_ACL: _form("subject", has_body=True),
        RequestCode.AUTH_UPDATE_ACL: _form("subject", has_body=True, mqguardChanges=_ONE),
        RequestCode.AUTH_DELETE_ACL: _form("subject", "policyType", "resource"),
        RequestCode.AUTH_GET_ACL: _form("subject"),
        RequestCode.AUTH_LIST_ACL: _form("subjectFilter", "resourceFilter"),
        OwnCode.GET_DECISION: _form("decisionId"),
        OwnCode.TAKE_SNAPSHOT: _form(),
        OwnCode.DROP_SNAPSHOT: _form("snapshotId"),
    }
)
"""Requests that change users, policies, configuration, topics or groups, and those that show users and policies."""


def check_exact(command: Command) -> None:
    """Check that a request of a fixed form has nothing that its handler does not read.

    Raises:
        HeaderInvalid: A field is unknown, or its value is of another kind.
        BodyInvalid: The request has a body, but its form has none.
    """
    form = FORMS.get(command.code)
    if form is None:
        return
    for name, value in command.ext.items():
        kind = form.fields.get(name)
        if kind is None:
            known = ", ".join(f"`{field}`" for field in form.fields if field not in _EVERYWHERE) or "none"
            raise HeaderInvalid(
                name[:_MAX_SHOWN],
                f"is unknown: the fields of the request code {command.code} are {known}",
            )
        if not kind.accepts(value):
            raise HeaderInvalid(name, f"is not {kind.description}")
    if command.body and not form.has_body:
        raise BodyInvalid("", f"the request code {command.code} has no body: leave it out")
