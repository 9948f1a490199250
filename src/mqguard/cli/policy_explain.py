"""`mqguard explain`: a decision with its whole story."""

from typing import TYPE_CHECKING

import click

from mqguard.cli.exits import Exit
from mqguard.cli.output import emit, json_option
from mqguard.cli.policy_source import PolicySource, end, sourced
from mqguard.cli.policy_view import MOST, right_json, right_text
from mqguard.model.collector import uncollected
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.analysis.cells import Region
    from mqguard.auth.analysis.comparison import RightChange
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.request import AccessRequest
    from mqguard.auth.turning import Turn


@click.command()
@click.option("--user", required=True, help="Who asks.")
@click.option("--action", required=True, help="What is done, such as Pub; several with commas: any of them suffices.")
@click.option("--resource", required=True, help="To what, such as Topic:orders: one name, no prefix.")
@click.option("--from", "origin", metavar="ADDRESS", help="From where; without it from an unknown address.")
@sourced
@json_option
@uncollected()
def explain(source: PolicySource, user: str, action: str, resource: str, origin: str | None, *, as_json: bool) -> None:
    """Decide a request and say why: the entry that decided, the entries it beat, and what would turn the verdict.

    Ends with exit code 1 if the request is denied.
    """
    from mqguard.auth.explain import explain as explanation_of
    from mqguard.auth.explain_facts import explanation_facts
    from mqguard.auth.explain_text import render

    request = _request(action, resource, origin)
    directory, _ = source.load()
    rights = directory.rights(user)
    orphan = directory.acls.get(user) if rights is None else None
    found = explanation_of(user, request, rights, orphan)
    facts, text = explanation_facts(found), render(found)
    if found.turn is not None:
        changes = _changes(directory, user, found.turn)
        facts["turn"] = {**_object(facts["turn"]), "changes": [right_json(change) for change in changes]}
        text += "\n" + _changes_text(changes, request)
    emit(facts, text, as_json=as_json)
    end(Exit.DONE if found.verdict.allowed else Exit.FAILED)


def _changes(directory: "Directory", user: str, turn: "Turn") -> "tuple[RightChange, ...]":
    """Every right that turning the verdict gives or takes: the one that was asked about, and all others."""
    from mqguard.auth.analysis.comparison import compare
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.policy import Acl
    from mqguard.auth.subject import Subject
    from mqguard.auth.turning import changed, stepped

    known, acl = directory.users.get(user), directory.acls.get(user)
    old = Directory.of([known] if known else [], [acl] if acl else [])
    new = Directory.of([stepped(user, known, turn)], [changed(acl or Acl(Subject(user), ()), turn)])
    return compare(old, new).rights


def _changes_text(changes: "tuple[RightChange, ...]", request: "AccessRequest") -> str:
    """What else changes, a few lines of it."""
    if all(_is_asked(change.region, request) for change in changes):
        return "that changes nothing else"
    lines = [f"  {visible(right_text(change))}" for change in changes[:MOST]]
    more = [f"  and {len(changes) - MOST} more (--json names all)"] if len(changes) > MOST else []
    return "\n".join(["all that changes then:", *lines, *more])


def _is_asked(region: "Region", request: "AccessRequest") -> bool:
    from mqguard.auth.analysis.origins import Origins

    return (
        (region.resource.type, region.resource.name) == (request.type, request.name)
        and request.actions >= {*region.actions}
        and region.origins == Origins.single(request.address)
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _request(action: str, resource: str, origin: str | None) -> "AccessRequest":
    """The request that the options describe.

    Raises:
        PolicyInvalid: They describe none.
    """
    from mqguard.auth.action import Action
    from mqguard.auth.errors import PolicyInvalid
    from mqguard.auth.request import AccessRequest
    from mqguard.auth.resource import Pattern, Resource
    from mqguard.auth.source import parse_address

    asked = Resource.parse(resource)
    if asked.pattern is not Pattern.LITERAL:
        raise PolicyInvalid(f"`{resource}` is no single resource: name one, such as `Topic:orders`, or use who-can")
    actions = frozenset(Action.parse(name.strip()) for name in action.split(","))
    if Action.ALL in actions:
        raise PolicyInvalid("a request asks for single actions: `All` is for entries")
    address = None if origin is None else parse_address(origin)
    if origin is not None and address is None:
        raise PolicyInvalid(f"`{origin}` is no address: write one, such as `10.1.2.3` or `2001:db8::1`")
    return AccessRequest(asked.type, asked.name, actions, address)
