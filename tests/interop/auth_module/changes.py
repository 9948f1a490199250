"""Changes of users and policies as lines of the kind `admin`, and their outcomes by Apache's rules and by ours.

This is an implementation of its own: with `repeats` off it follows Apache's managers, with it on mqguard. They differ
only if one change names a resource or a type of policy more than once. mqguard then uses all that the change contains.
"""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]
Policies = list[Json]


class Rejected(Exception):
    """A change that is not made, with its message."""


class Stored:
    """All users and policies."""

    def __init__(self, *, repeats: bool) -> None:
        self._repeats = repeats
        self._users: dict[str, Json] = {}
        self._acls: dict[str, Policies] = {}

    def outcome(self, op: Json) -> Any:
        """Make a change, or answer a query.

        Raises:
            Rejected: The change is not made, or the query not answered.
        """
        return getattr(self, f"_{op['op'].replace('-', '_')}")(op)

    def everything(self) -> Json:
        """Return all that is stored, in the order of the bytes of the names."""
        return {"users": self._list_users({"filter": None}), "acls": self._list_acls({})}

    def _create_user(self, op: Json) -> str:
        said = op["user"]
        name = _given(said["username"])
        if _is_blank(said["password"]):
            raise Rejected("password can not be blank")
        if name in self._users:
            raise Rejected("The user is existed")
        self._users[name] = {
            "username": name,
            "password": said["password"],
            "userType": (said["userType"] or "Normal").capitalize(),
            "userStatus": (said["userStatus"] or "enable").lower(),
        }
        return "ok"

    def _update_user(self, op: Json) -> str:
        said = op["user"]
        name = _given(said["username"])
        if name not in self._users:
            raise Rejected("The user is not exist")
        user = self._users[name]
        if not _is_blank(said["password"]):
            user["password"] = said["password"]
        user["userType"] = (said["userType"] or user["userType"]).capitalize()
        user["userStatus"] = (said["userStatus"] or user["userStatus"]).lower()
        return "ok"

    def _delete_user(self, op: Json) -> str:
        name = _given(op["name"])
        self._users.pop(name, None)
        self._acls.pop(f"User:{name}", None)
        return "ok"

    def _get_user(self, op: Json) -> Json | None:
        return copy.deepcopy(self._users.get(_given(op["name"])))

    def _list_users(self, op: Json) -> list[Json]:
        text = op["filter"] or ""
        return [copy.deepcopy(self._users[name]) for name in sorted(self._users, key=str.encode) if text in name]

    def _is_super(self, op: Json) -> bool:
        name = _given(op["name"])
        if name not in self._users:
            raise Rejected(f"User:{name} is not found")
        return bool(self._users[name]["userType"] == "Super")

    def _create_acl(self, op: Json) -> str:
        subject, policies = op["acl"]["subject"], op["acl"]["policies"]
        if not policies:
            raise Rejected("The policies is empty.")
        given = [
            {"policyType": policy["policyType"] or "Custom", "entries": list(map(_entry, policy["entries"]))}
            for policy in policies
        ]
        if subject.removeprefix("User:") not in self._users:
            raise Rejected(f"The subject of {subject} is not exist.")
        if self._repeats:
            given = _by_type(given)
        if subject not in self._acls:
            self._acls[subject] = given
            return "ok"
        for policy in given:
            self._merge(self._acls[subject], policy)
        return "ok"

    _update_acl = _create_acl

    def _merge(self, stored: Policies, given: Json) -> None:
        found = next((policy for policy in stored if policy["policyType"] == given["policyType"]), None)
        if self._repeats and found is None:
            stored.append({**given, "entries": _replaced([], given["entries"])})
        elif found is None:
            stored.append(given)
        elif self._repeats:
            found["entries"] = _replaced(found["entries"], given["entries"])
        else:
            for entry in given["entries"]:
                keys = [each["resource"] for each in found["entries"]]
                if entry["resource"] in keys:
                    found["entries"][keys.index(entry["resource"])] = entry
                else:
                    found["entries"].append(entry)

    def _delete_acl(self, op: Json) -> str:
        subject, resource = op["subject"], op["resource"]
        if self._get_acl(op) is None:
            raise Rejected("The acl is not exist.")
        policies = self._acls[subject]
        kind = op["policy_type"] or "Custom"
        policy = next((policy for policy in policies if policy["policyType"] == kind), None)
        if resource is None:
            policies.clear()
        elif policy is not None:
            self._take_out(policy["entries"], _key(resource))
            if not policy["entries"]:
                policies.remove(policy)
        if not policies:
            del self._acls[subject]
        return "ok"

    def _take_out(self, entries: list[Json], key: str) -> None:
        """Remove the entries of a resource: all by our rules, the first by Apache's."""
        while any(entry["resource"] == key for entry in entries):
            del entries[[entry["resource"] for entry in entries].index(key)]
            if not self._repeats:
                return

    def _get_acl(self, op: Json) -> Json | None:
        subject = op["subject"]
        if subject.removeprefix("User:") not in self._users:
            raise Rejected("The subject is not exist.")
        found = self._acls.get(subject)
        return None if found is None else copy.deepcopy({"subject": subject, "policies": found})

    def _list_acls(self, op: Json) -> list[Json]:
        subjects, resources = op.get("subject_filter") or "", op.get("resource_filter") or ""
        found = []
        for subject in sorted(self._acls, key=str.encode):
            kept = [
                {**policy, "entries": [entry for entry in policy["entries"] if resources in entry["resource"]]}
                for policy in self._acls[subject]
            ]
            kept = [policy for policy in kept if policy["entries"]]
            if kept and subjects in subject:
                found.append(copy.deepcopy({"subject": subject, "policies": kept}))
        return found


def _by_type(policies: Policies) -> Policies:
    """Return one policy for each type, with all entries."""
    entries: dict[str, list[Json]] = {}
    for policy in policies:
        entries.setdefault(policy["policyType"], []).extend(policy["entries"])
    return [{"policyType": kind, "entries": found} for kind, found in entries.items()]


def _replaced(stored: list[Json], given: list[Json]) -> list[Json]:
    """Return the stored entries, with new ones at the place of the first old one of the same resource."""
    new = {entry["resource"] for entry in given}
    merged: list[Json] = []
    placed: set[str] = set()
    for entry in (*stored, *given):
        key = entry["resource"]
        if key not in new:
            merged.append(entry)
        elif key not in placed:
            placed.add(key)
            merged += [each for each in given if each["resource"] == key]
    return merged


def _entry(said: Json) -> Json:
    """Return an entry as it is stored."""
    if said["resource"].startswith("Foo"):
        raise Rejected("The resource is null.")
    if not said["actions"]:
        raise Rejected("The actions is empty.")
    if "Any" in said["actions"]:
        raise Rejected("The actions can not be Any.")
    for source in said["sourceIps"] or ():
        if _is_blank(source):
            raise Rejected("The source ip is empty.")
        if source == "1.2.3":
            raise Rejected("The source ip is invalid.")
    if said["decision"] not in {"Allow", "Deny", "allow", "DENY"}:
        raise Rejected("The decision is null or illegal.")
    return {
        "resource": _key(said["resource"]),
        "actions": [action.capitalize() for action in said["actions"]],
        "sourceIps": said["sourceIps"] or None,
        "decision": said["decision"].capitalize(),
    }


def _key(resource: str) -> str:
    kind, colon, name = resource.partition(":")
    return kind.capitalize() + colon + name


def _given(name: str | None) -> str:
    if name is None or _is_blank(name):
        raise Rejected("username can not be blank")
    return name


def _is_blank(text: str | None) -> bool:
    return not (text or "").strip(" \t\u2003")
