"""Explanations of decisions: which entries decide a request, and what the smallest change that reverses it would do."""

from typing import NamedTuple

from mqguard.auth.action import Action
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import RightChange, compare
from mqguard.auth.analysis.source_sets import SourceSet
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.explain import Explanation, explain
from mqguard.auth.minimal_change import MinimalChange, apply_to_acl, apply_to_user
from mqguard.auth.policy import Acl
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import Pattern, Resource
from mqguard.auth.source import parse_address
from mqguard.auth.subject import Subject


class ExplainedRequest(NamedTuple):
    """A decided request and its explanation.

    Attributes:
        explanation: Explanation of the decision.
        changes: Permissions that the smallest change that reverses the decision would give or take.
        is_isolated: True if that change affects only this request.
    """

    explanation: Explanation
    changes: tuple[RightChange, ...]
    is_isolated: bool


def explain_request(directory: AccessState, user: str, request: AccessRequest) -> ExplainedRequest:
    """Decide a request by the given users and policies, and explain the decision."""
    rights = directory.rights(user)
    orphan = directory.acls.get(user) if rights is None else None
    found = explain(user, request, rights, orphan)
    changes = () if found.turn is None else _changes(directory, user, found.turn)
    return ExplainedRequest(found, changes, all(_is_of_request(change, request) for change in changes))


def parse_request(actions: str, resource: str, source: str | None) -> AccessRequest:
    """Read a request from texts.

    Args:
        actions: Names of actions, separated by commas; any of them suffices.
        resource: One resource, such as `Topic:orders`.
        source: Address of the client; None if it is not known.

    Raises:
        PolicyInvalid: A text is not valid.
    """
    asked = Resource.parse(resource)
    if asked.pattern is not Pattern.LITERAL:
        raise PolicyInvalid(f"`{resource}` is not a single resource: name one, such as `Topic:orders`, or use who-can")
    found = frozenset(Action.parse(name.strip()) for name in actions.split(","))
    if Action.ALL in found:
        raise PolicyInvalid("`All` is not a valid action of a request: name single actions, such as `Pub`")
    address = None if source is None else parse_address(source)
    if source is not None and address is None:
        raise PolicyInvalid(f"`{source}` is not a valid address: write one, such as `10.1.2.3` or `2001:db8::1`")
    return AccessRequest(asked.type, asked.name, found, address)


def _changes(directory: AccessState, user: str, turn: MinimalChange) -> tuple[RightChange, ...]:
    """Return every permission that a change of one user gives or takes, for the explained request and for others."""
    known, acl = directory.users.get(user), directory.acls.get(user)
    old = AccessState.of([known] if known else [], [acl] if acl else [])
    new = AccessState.of([apply_to_user(user, known, turn)], [apply_to_acl(acl or Acl(Subject(user), ()), turn)])
    return compare(old, new).rights


def _is_of_request(change: RightChange, request: AccessRequest) -> bool:
    region = change.region
    return (
        (region.resource.type, region.resource.name) == (request.type, request.name)
        and request.actions >= {*region.actions}
        and region.origins == SourceSet.single(request.address)
    )
