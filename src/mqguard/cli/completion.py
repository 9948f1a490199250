"""Names that a shell completes: users, topics, groups, actions and resources of the cluster.

A completion asks the server with the options of the line, but never the person at the terminal. Without an answer there
is nothing to complete.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mqguard.admin.client import Client

TIMEOUT_SECONDS = 2.0

_TYPES = ("Topic", "Group", "Cluster", "Namespace")


def complete_users(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the users whose name begins so."""
    return _matching(_ask(ctx, _users), incomplete)


def complete_subjects(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the subjects of policies that begin so."""
    return _matching([f"User:{name}" for name in _ask(ctx, _users)], incomplete)


def complete_topics(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the topics of users whose name begins so."""
    return _matching(_ask(ctx, _topics), incomplete)


def complete_groups(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the consumer groups whose name begins so."""
    return _matching(_ask(ctx, _groups), incomplete)


def complete_actions(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the actions that begin so, after those that a comma ends."""
    from mqguard.auth.policy import Action

    given, comma, last = incomplete.rpartition(",")
    return [given + comma + name for name in _matching([action.value for action in Action], last)]


def complete_resources(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the resources that begin so, after those that a comma ends."""
    given, comma, last = incomplete.rpartition(",")
    kind, colon, _ = last.partition(":")
    if not colon:
        return [given + comma + name for name in _matching([f"{kind}:" for kind in _TYPES], last)]
    ask = {"topic": _topics, "group": _groups}.get(kind.lower())
    names = _ask(ctx, ask) if ask is not None else []
    return [given + comma + name for name in _matching([f"{kind}:{name}" for name in names], last)]


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    start = incomplete.lower()
    return [name for name in names if name.lower().startswith(start) and name.isprintable()]


def _ask(ctx: click.Context, question: "Callable[[Client, str | None], list[str]]") -> list[str]:
    from mqguard.cli.connection import connection_of

    try:
        with ctx.scope(cleanup=False):
            connection = connection_of(ctx)._replace(timeout=TIMEOUT_SECONDS, may_ask=False)
            with connection.client() as client:
                return question(client, connection.cluster)
    except Exception:  # noqa: BLE001 - a completion never fails, it only has no answer
        return []


def _users(client: "Client", cluster: str | None) -> list[str]:
    from mqguard.admin import users

    return [one.name for one in users.find(client.at(client.brokers(cluster)[0].address))]


def _topics(client: "Client", _cluster: str | None) -> list[str]:
    from mqguard.admin import topics

    return topics.find_of_users(client)


def _groups(client: "Client", cluster: str | None) -> list[str]:
    from mqguard.admin import groups

    return groups.find(client, cluster)
