"""`mqguard can`, `mqguard who-can`: who may do what."""

from typing import TYPE_CHECKING

import click

from mqguard.cli.exits import Exit, NothingThere
from mqguard.cli.output import emit, json_option, table
from mqguard.cli.policy_source import PolicySource, end, sourced
from mqguard.cli.uncollected import uncollected

if TYPE_CHECKING:
    from mqguard.auth.analysis.origins import Origins


@click.command()
@click.argument("user")
@sourced
@json_option
@uncollected
def can(source: PolicySource, user: str, *, as_json: bool) -> None:
    """Show everything that USER may do: rights, not entries.

    Ends with exit code 1 if it may do nothing.
    """
    from mqguard.auth.analysis.rights import rights_of
    from mqguard.cli.policy_view import region_json, regions_text

    directory, _ = source.load()
    found = directory.users.get(user)
    if found is None:
        from mqguard.auth.documents.problems import nearest

        raise NothingThere(f"there is no user `{user}`: {nearest(user, directory.users)}")
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
@uncollected
def who_can(source: PolicySource, action: str, resource: str, origin: str | None, *, as_json: bool) -> None:
    """Show every user that may do ACTION to RESOURCE, such as `who-can Pub Topic:orders`.

    A prefix (`Topic:order*`), a type (`Topic:*`) or `*` asks about every name; then users are shown with the part that
    they may. Ends with exit code 1 if nobody may.
    """
    from mqguard.auth.action import Action
    from mqguard.auth.analysis.rights import who_can as holders_of
    from mqguard.auth.resource import Resource
    from mqguard.cli.policy_view import region_json, region_row

    asked = frozenset({Action.parse(action)}), Resource.parse(resource), _origins(origin)
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


def _origins(text: str | None) -> "Origins":
    from mqguard.auth.analysis.origins import ANYWHERE, Origins
    from mqguard.auth.source import Source

    return ANYWHERE if text is None else Origins.of([Source.parse(text)])
