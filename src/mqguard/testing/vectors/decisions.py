"""Lines of the kind `decisions`: users and policies, and requests to decide."""

from typing import Any

from mqguard.auth.decide import decide
from mqguard.auth.errors import MetadataRejected, PolicyInvalid
from mqguard.auth.policy import Acl, Action
from mqguard.auth.ports import Metadata
from mqguard.auth.resource import ResourceType
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.source import parse_address
from mqguard.auth.user import User, UserStatus, UserType
from mqguard.auth.verdict import AUTHORIZATION_FAILED, AccessRequest, Reason, Verdict, denial_message
from mqguard.testing.vectors.bodies import acl_of, error

Json = dict[str, Any]


def answer(line: Json) -> Json:
    """Return the line with our outcome in every request."""
    users = [User(u["name"], (), UserType(u["type"]), UserStatus(u["status"])) for u in line["users"]]
    acls: list[Acl] = []
    refused: dict[str, str] = {}
    for info in line["acls"]:
        try:
            acls.append(acl_of(_without_zones(info)))
        except MetadataRejected as exc:
            # Such a policy cannot be stored here, so it has no meaning here.
            refused[info["subject"]] = str(exc)
    snapshot = Snapshot.of(Metadata(users, acls))
    return {**line, "requests": [_answer(request, snapshot, refused) for request in line["requests"]]}


def _without_zones(info: Json) -> Json:
    """Return the policies without zones: `fe80::1%1` becomes `fe80::1`.

    The store refuses a zone. Without it, the other parts of the policies can still be compared.
    """
    policies = [
        {
            **policy,
            "entries": [
                {**entry, "sourceIps": [(source or "").partition("%")[0] for source in entry.get("sourceIps") or ()]}
                for entry in policy.get("entries") or ()
            ],
        }
        for policy in info.get("policies") or ()
    ]
    return {**info, "policies": policies}


def _answer(request: Json, snapshot: Snapshot, refused: dict[str, str]) -> Json:
    return {**request, "outcome": _outcome(request, snapshot, refused)}


def _outcome(request: Json, snapshot: Snapshot, refused: dict[str, str]) -> object:
    key = request["subject"]
    if key is None:
        return error("AuthorizationException", AUTHORIZATION_FAILED)
    name = key.partition(":")[2]
    try:
        asked = _access_request(request)
    except PolicyInvalid as exc:
        return error("AuthorizationException", str(exc))
    verdict = decide(asked, snapshot.rights(name))
    if key in refused and verdict.reason is Reason.NO_MATCH:
        return error("AuthorizationException", refused[key])
    return "allow" if verdict.allowed else _refusal(name, request, asked, verdict)


def _access_request(request: Json) -> AccessRequest:
    kind = next((k for k in ResourceType if k is not ResourceType.ANY and k.value == request["type"]), ResourceType.ANY)
    actions = frozenset(Action.parse(action or "") for action in request["actions"] or ())
    address = parse_address(request["ip"]) if request["ip"] is not None else None
    return AccessRequest(kind, request["name"] or "", actions, address)


def _refusal(user: str, request: Json, asked: AccessRequest, verdict: Verdict) -> object:
    said = denial_message(user, asked.type, asked.name, "null" if request["ip"] is None else request["ip"], verdict)
    return error("AuthorizationException", said)
