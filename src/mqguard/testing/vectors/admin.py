"""Lines of the kind `admin`: operations on users and policies in order, and the final state."""

from collections.abc import Callable
from typing import Any

from mqguard.auth.acl_parser import read_policy_type, read_resource, read_subject
from mqguard.auth.errors import MetadataRejected, PolicyInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.testing.vectors.bodies import acl_info, acl_of, create_user, error, type_and_status, user_info

Json = dict[str, Any]


def answer(line: Json) -> Json:
    """Return the line with our outcome of every operation, and our final state."""
    manager = MetadataManager(MemoryMetadataStore())
    ops = [{**op, "outcome": _outcome(manager, op)} for op in line["ops"]]
    final = {
        "users": [user_info(user) for user in manager.list_users()],
        "acls": [acl_info(acl) for acl in manager.list_acls()],
    }
    return {**line, "ops": ops, "final": final}


def _outcome(manager: MetadataManager, op: Json) -> object:
    kind = "AuthorizationException" if op["op"].endswith(("acl", "acls")) else "AuthenticationException"
    try:
        return _OPERATIONS[op["op"]](manager, op)
    except (MetadataRejected, PolicyInvalid) as exc:
        return error(kind, str(exc))


def _create_user(manager: MetadataManager, op: Json) -> object:
    create_user(manager, _user(op))
    return "ok"


def _user(op: Json) -> Json:
    if op["user"] is None:
        raise MetadataRejected("the user is missing")
    info: Json = op["user"]
    return info


def _update_user(manager: MetadataManager, op: Json) -> object:
    info = _user(op)
    # Apache allows changing the last Super user. The lines do the same, so `force` allows it here, and only here.
    manager.update_user(info.get("username") or "", info.get("password"), *type_and_status(info), force=True)
    return "ok"


def _delete_user(manager: MetadataManager, op: Json) -> object:
    manager.delete_user(op["name"] or "", force=True)
    return "ok"


def _get_user(manager: MetadataManager, op: Json) -> object:
    user = manager.get_user(op["name"] or "")
    return None if user is None else user_info(user)


def _list_users(manager: MetadataManager, op: Json) -> object:
    return [user_info(user) for user in manager.list_users(op["filter"])]


def _is_super(manager: MetadataManager, op: Json) -> object:
    return manager.is_super(op["name"] or "")


def _create_acl(manager: MetadataManager, op: Json) -> object:
    manager.create_acl(acl_of(op["acl"]))
    return "ok"


def _delete_acl(manager: MetadataManager, op: Json) -> object:
    kind = read_policy_type(op["policy_type"]) if op["policy_type"] is not None else None
    resource = read_resource(op["resource"]) if op["resource"] is not None else None
    manager.delete_acl(read_subject(op["subject"]), kind, resource)
    return "ok"


def _get_acl(manager: MetadataManager, op: Json) -> object:
    acl = manager.get_acl(read_subject(op["subject"]))
    return None if acl is None else acl_info(acl)


def _list_acls(manager: MetadataManager, op: Json) -> object:
    return [acl_info(acl) for acl in manager.list_acls(op["subject_filter"], op["resource_filter"])]


_OPERATIONS: dict[str, Callable[[MetadataManager, Json], object]] = {
    "create-user": _create_user,
    "update-user": _update_user,
    "delete-user": _delete_user,
    "get-user": _get_user,
    "list-users": _list_users,
    "is-super": _is_super,
    "create-acl": _create_acl,
    "update-acl": _create_acl,
    "delete-acl": _delete_acl,
    "get-acl": _get_acl,
    "list-acls": _list_acls,
}
