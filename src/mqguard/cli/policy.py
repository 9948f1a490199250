"""`mqguard can`, `mqguard who-can`: who may do what."""

import difflib
from typing import TYPE_CHECKING

import click

from mqguard.cli.exits import Exit, NothingThere
from mqguard.cli.output import emit, json_option, table
from mqguard.cli.policy_source import PolicySource, end, sourced
from mqguard.model.collector import uncollected

if TYPE_CHECKING:
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.analysis.origins import Origins

_SHOWN = 10
"""Users that an error names."""


@click.command()
@click.argument("user")
@sourced
@json_option
@uncollected()
def can(source: PolicySource, user: str, *, as_json: bool) -> None:
    """Show everything that USER may do: rights, not entries.

    Ends with exit code 1 if it may do nothing.
    """
    from mqguard.auth.analysis.rights import rights_of
    from mqguard.cli.policy_view import region_json, regions_text

    directory, _ = source.load()
    found = directory.users.get(user)
    if found is None:
        raise NothingThere(_unknown(user, directory))
    regions = rights_of(directory, user)
    why = "it is disabled" if not found.is_enabled else "no entry allows it anything"
    value = {
        "user": user,
        "type": found.type.value,
        "status": found.status.value,
        "rights": [region_json(region) for region in regions],
    }
    emit(value, regions_text(regions) if regions else f"`{user}` may do nothing: {why}", as_json=as_json)
    end(Exit.DONE if regions else Exit.FAILED)


@click.command("who-can")
@click.argument("action")
@click.argument("resource")
@click.option("--from", "origin", metavar="ADDRESS", help="Only from this address or CIDR range.")
@sourced
@json_option
@uncollected()
def who_can(source: PolicySource, action: str, resource: str, origin: str | None, *, as_json: bool) -> None:
    """Show every user that may do ACTION to RESOURCE, such as `who-can Pub Topic:orders`.

    Several actions with commas: any of them. `All` is any action.

    A prefix (`Topic:order*`), a type (`Topic:*`) or `*` asks about every name; then users are shown with the part that
    they may. Ends with exit code 1 if nobody may.
    """
    from mqguard.auth.action import Action
    from mqguard.auth.analysis.rights import who_can as holders_of
    from mqguard.auth.resource import Resource
    from mqguard.cli.policy_view import region_json, region_row

    actions = frozenset(Action.parse(name.strip()) for name in action.split(","))
    asked = actions, Resource.parse(resource), _origins(origin)
    directory, _ = source.load()
    holders = holders_of(directory, *asked)
    value = {
        "action": action,
        "resource": resource,
        "holders": [
            {
                "user": holder.user,
                "super": holder.is_super,
                "all": holder.whole,
                "rights": [region_json(region) for region in holder.regions],
            }
            for holder in holders
        ],
    }
    rows = [
        (holder.user, "Super" if holder.is_super else "policy", *region_row(region))
        for holder in holders
        for region in holder.regions
    ]
    text = table(("#User", "#By", "#Resource", "#Actions", "#From"), rows) if rows else "nobody"
    emit(value, text, as_json=as_json)
    end(Exit.DONE if holders else Exit.FAILED)


def _unknown(user: str, directory: "Directory") -> str:
    if user in directory.acls:
        return f"there is no user `{user}`, only policies of that name: nobody has them until the user is created"
    close = difflib.get_close_matches(user, directory.users, n=1)
    if close:
        return f"there is no user `{user}`: did you mean `{close[0]}`?"
    known = ", ".join(f"`{name}`" for name in sorted(directory.users)[:_SHOWN])
    more = f" and {len(directory.users) - _SHOWN} more" if len(directory.users) > _SHOWN else ""
    return f"there is no user `{user}`: " + (f"known are {known}{more}" if known else "there are none")


def _origins(text: str | None) -> "Origins":
    from mqguard.auth.analysis.origins import ANYWHERE, Origins
    from mqguard.auth.source import Source

    return ANYWHERE if text is None else Origins.of([Source.parse(text)])
