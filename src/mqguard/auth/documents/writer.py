"""Users and policies written as a document, which reads back as the same state."""

from collections.abc import Callable, Iterable, Mapping

import yaml

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.documents.document import SecretReference
from mqguard.auth.documents.schema import POLICY_KEYS
from mqguard.auth.policy import Acl, Entry
from mqguard.auth.user import User

SecretOf = Callable[[str], SecretReference | None]
"""Returns the reference to a user's secret, or None to leave it out."""


class _Flow(list[str]):
    """A list on a single line."""


class _Dumper(yaml.SafeDumper):
    """Writes values without anchors, and short lists on a single line."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - a repeated value is written again
        return True

    def write_double_quoted(self, text: str, split: bool = True) -> None:  # noqa: FBT001, FBT002 - as inherited
        # Otherwise characters that change the text direction, or have no width, would be written unescaped.
        self.allow_unicode = False
        super().write_double_quoted(text, split)
        self.allow_unicode = True


def _flow(dumper: yaml.SafeDumper, data: _Flow) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # A plain scalar would fold line ends, some of them into spaces, and would hide invisible characters.
    style = None if data.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(_Flow, _flow)
_Dumper.add_representer(str, _text)


def write_document(
    directory: AccessState, secret_of: SecretOf | None = None, *, with_incarnations: bool = False
) -> str:
    """Return the state as a policy document; it never contains secrets.

    Args:
        directory: Users and policies.
        secret_of: Returns the reference to a user's secret. Without it the document keeps the stored secrets.
        with_incarnations: True to write the incarnation of each user.
    """
    content: dict[str, object] = {"version": 1}
    if directory.users:
        users = directory.users
        content["users"] = {
            name: _user(users[name], secret_of(name) if secret_of else None, with_incarnation=with_incarnations)
            for name in sorted(users)
        }
    if directory.acls:
        content["policies"] = {
            directory.acls[name].subject.key: _policies(directory.acls[name]) for name in sorted(directory.acls)
        }
    return _dump(content)


def _user(user: User, secret: SecretReference | None, *, with_incarnation: bool) -> dict[str, object]:
    shown: dict[str, object] = {"type": user.type.value, "status": user.status.value}
    if secret is not None:
        shown["secret"] = {secret.place.value: secret.name}
    if with_incarnation:
        shown["incarnation"] = user.incarnation
    return shown


def _policies(acl: Acl) -> dict[str, object]:
    return {
        key: [_entry(entry) for entry in acl.entries(kind)] for kind, key in POLICY_KEYS.items() if acl.entries(kind)
    }


def _entry(entry: Entry) -> dict[str, object]:
    shown: dict[str, object] = {
        "resource": entry.resource.key,
        "actions": _short(action.value for action in entry.actions),
    }
    if entry.sources:
        shown["sources"] = _short(source.text for source in entry.sources)
    shown["decision"] = entry.decision.value
    return shown


def _short(texts: Iterable[str]) -> _Flow:
    # A set of actions or sources: a repeated one has no further effect.
    return _Flow(dict.fromkeys(texts))


def _dump(content: Mapping[str, object]) -> str:
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
