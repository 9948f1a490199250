"""`mqguard can`, `mqguard who-can`: the permissions of a user, and the users with a permission."""

import difflib
from typing import TYPE_CHECKING

import click

from mqguard.cli.exit_codes import Exit
from mqguard.cli.output import emit, end, json_option, table
from mqguard.cli.policy_source import PolicySource, with_policy_source
from mqguard.errors import NotFound
from mqguard.model.gc_control import gc_disabled

if TYPE_CHECKING:
    from mqguard.auth.analysis.access_state import AccessState
    from mqguard.auth.analysis.source_sets import SourceSet

_MAX_NAMED = 10
"""Maximum number of users that an error names."""


@click.command()
@click.argument("user")
@with_policy_source
@json_option
@gc_disabled()
def can(source: PolicySource, user: str, *, as_json: bool) -> None:
    """Show all permissions of USER, as the result of all its entries.

    Exit code 1: the user has no permissions.
    """
    from mqguard.auth.analysis.rights import rights_of
    from mqguard.cli.policy_output import region_json, regions_text

    directory, _ = source.load()
    found = directory.users.get(user)
    if found is None:
        raise NotFound(_unknown(user, directory))
    regions = rights_of(directory, user)
    why = "the user is disabled" if not found.is_enabled else "no entry allows anything"
    value = {
        "user": user,
        "type": found.type.value,
        "status": found.status.value,
        "rights": [region_json(region) for region in regions],
    }
    emit(value, regions_text(regions) if regions else f"`{user}` has no permissions: {why}", as_json=as_json)
    end(Exit.DONE if regions else Exit.FAILED)


@click.command("who-can")
@click.argument("action")
@click.argument("resource")
@click.option("--from", "origin", metavar="ADDRESS", help="Only requests from this address or CIDR range.")
@with_policy_source
@json_option
@gc_disabled()
def who_can(source: PolicySource, action: str, resource: str, origin: str | None, *, as_json: bool) -> None:
    """Show every user that may do ACTION on RESOURCE, such as `who-can Pub Topic:orders`.

    ACTION is one action, several separated by commas (any of them suffices), or `All` for any action.

    RESOURCE is one name, a prefix (`Topic:order*`), a type (`Topic:*`) or `*`. For several names, each user is shown
    with the part that it may access.

    Exit code 1: no user has the permission.
    """
    from mqguard.auth.action import Action
    from mqguard.auth.analysis.rights import who_can as holders_of
    from mqguard.auth.resource import Resource
    from mqguard.cli.policy_output import region_json, region_row

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
    text = table(("#User", "#By", "#Resource", "#Actions", "#From"), rows) if rows else "no user"
    emit(value, text, as_json=as_json)
    end(Exit.DONE if holders else Exit.FAILED)


def _unknown(user: str, directory: "AccessState") -> str:
    if user in directory.acls:
        return f"the user `{user}` does not exist; policies for that name exist and apply once the user is created"
    close = difflib.get_close_matches(user, directory.users, n=1)
    if close:
        return f"the user `{user}` does not exist: did you mean `{close[0]}`?"
    known = ", ".join(f"`{name}`" for name in sorted(directory.users)[:_MAX_NAMED])
    more = f" and {len(directory.users) - _MAX_NAMED} more" if len(directory.users) > _MAX_NAMED else ""
    return f"the user `{user}` does not exist: " + (f"the users are {known}{more}" if known else "there are no users")


def _origins(text: str | None) -> "SourceSet":
    from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
    from mqguard.auth.source import Source

    return ANYWHERE if text is None else SourceSet.of([Source.parse(text)])
