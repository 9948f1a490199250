"""Policies as stored bytes: compact, checked when loaded, decoded at first use."""

import functools

import msgspec

from mqguard.auth.errors import PolicyInvalid, RecordCorrupt
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.source import Source
from mqguard.auth.user import Subject


class AclRecord(msgspec.Struct, frozen=True, gc=False):
    """The stored policies of one subject.

    Attributes:
        subject: The owner of the policies.
        data: The bytes that `encode_acl` returned.
    """

    subject: Subject
    data: bytes

    def decode(self) -> Acl:
        """Decode the policies.

        Raises:
            RecordCorrupt: The bytes were not written by `encode_acl`.
        """
        try:
            form = _DECODER.decode(self.data)
            return Acl(self.subject, tuple(Policy(kind, tuple(map(_entry, entries))) for kind, entries in form))
        except (msgspec.MsgspecError, UnicodeError, PolicyInvalid):
            # The cause may quote stored data, so it is left out on purpose.
            raise RecordCorrupt(f"the stored policies of `{self.subject.key}` cannot be read") from None

    def check(self) -> None:
        """Check that `decode` will succeed, at a fraction of its cost.

        Raises:
            RecordCorrupt: It would fail.
        """
        try:
            _check(_DECODER.decode(self.data))
        except (msgspec.MsgspecError, UnicodeError, PolicyInvalid):
            raise RecordCorrupt(f"the stored policies of `{self.subject.key}` cannot be read") from None


def encode_acl(acl: Acl) -> AclRecord:
    """Encode the policies as bytes."""
    form = [
        (
            policy.type,
            [
                _EntryForm(
                    entry.resource.type,
                    entry.resource.pattern,
                    entry.resource.name,
                    entry.actions,
                    tuple(source.text for source in entry.sources),
                    entry.decision,
                )
                for entry in policy.entries
            ],
        )
        for policy in acl.policies
    ]
    return AclRecord(acl.subject, msgspec.json.encode(form))


class _EntryForm(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    type: ResourceType
    pattern: Pattern
    name: str
    actions: tuple[Action, ...]
    sources: tuple[str, ...]
    decision: Decision


_DECODER = msgspec.json.Decoder(list[tuple[PolicyType, list[_EntryForm]]])


@functools.lru_cache(maxsize=1 << 14)
def _source(text: str) -> Source:
    # The same few networks occur in many entries; all of these share one object.
    return Source.parse(text)


@functools.lru_cache(maxsize=1 << 10)
def _actions(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    return actions


def _entry(form: _EntryForm) -> Entry:
    resource = Resource(form.type, form.name, form.pattern)
    return Entry(resource, _actions(form.actions), tuple(map(_source, form.sources)), form.decision)


def _check(policies: list[tuple[PolicyType, list[_EntryForm]]]) -> None:
    if len(policies) != len({kind for kind, _ in policies}):
        raise PolicyInvalid("a policy type is repeated: name each type once")
    for _, entries in policies:
        for form in entries:
            _check_resource(form)
            if not form.actions:
                raise PolicyInvalid("an entry has no actions: name at least one")
            for text in form.sources:
                _source(text)


def _check_resource(form: _EntryForm) -> None:
    # The checks of Resource(), without creating one.
    name, is_any = form.name, form.pattern is Pattern.ANY
    if is_any is bool(name) or "*" in name or (form.type is ResourceType.ANY and not is_any):
        raise PolicyInvalid("a resource lacks its name, has a superfluous name, or has a `*` in its name")
