"""`mqguard why`: the story of a refusal, from a running server or from the audit log of one on this machine."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import NothingThere
from mqguard.cli.output import emit, json_option
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.errors import MqguardError

Facts = dict[str, object]
_ID = re.compile(r"([A-Za-z0-9_-]{1,64})")
_TOLD = re.compile(r"\[decision ([A-Za-z0-9_-]{1,64})\]")


@click.command()
@click.argument("decision_id", metavar="DECISION")
@click.option("--log", type=click.Path(path_type=Path), help="Ask no server; read this audit log.")
@connected
@json_option
def why(connection: Connection, decision_id: str, log: Path | None, *, as_json: bool) -> None:
    """Tell why a request was refused, by the DECISION id that its sender was told.

    DECISION may be the whole refusal, as it was logged. Asks every broker of the cluster. What none of them knows, or
    can be asked for, is looked for in the audit log in the data directory: in the one that is being written and in
    those that were set aside.
    """
    decision_id = _id_in(decision_id)
    found, failed = (None, None) if log is not None else _ask(connection, decision_id)
    if found is None:
        place = log if log is not None else connection.data / "audit" / "audit.jsonl"
        found = _look(place, decision_id, failed)
    emit(found, _story(found), as_json=as_json)


def _id_in(text: str) -> str:
    """The id of a decision, alone or in the refusal that tells it."""
    found = _ID.fullmatch(text.strip()) or _TOLD.search(text)
    if found is None:
        raise click.UsageError(f"`{visible(text)}` is no decision: give what a refusal says in `[decision ...]`")
    return found[1]


def _ask(connection: Connection, decision_id: str) -> "tuple[Facts | None, MqguardError | None]":
    """What the brokers know of a decision; if none does, why one of them could not be asked, if one could not."""
    from mqguard.admin import decisions
    from mqguard.admin.errors import AnswerInvalid, ClusterUnknown, PeerRefused
    from mqguard.net.errors import LinkError

    failed: MqguardError | None = None
    with connection.client() as client:
        try:
            brokers = client.brokers(connection.cluster)
        except (LinkError, PeerRefused, AnswerInvalid, ClusterUnknown) as exc:
            return None, exc
        for broker in brokers:
            try:
                found = decisions.find(client.at(broker.address), decision_id)
            except (LinkError, PeerRefused, AnswerInvalid) as exc:
                failed = exc
            else:
                if found is not None:
                    return found, None
    return None, failed


def _look(place: Path, decision_id: str, failed: "MqguardError | None") -> Facts:
    """What an audit log knows of a decision.

    Raises:
        NothingThere: It does not know it.
        MqguardError: There is no audit log, and this is why no server told.
    """
    from mqguard.telemetry.audit_search import find_decision

    try:
        found = find_decision(place, decision_id)
    except OSError as exc:
        raise click.ClickException(f"the audit log `{place}` cannot be read: {exc.strerror}") from None
    if found is not None:
        return found
    is_there = place.exists()
    if failed is not None and not is_there:
        raise failed
    unasked = f"; not every broker could be asked: {failed}" if failed is not None else ""
    where = f"in `{place}`, nor in what was set aside beside it" if is_there else f"and no audit log `{place}`"
    raise NothingThere(f"no decision `{decision_id}` {where}{unasked}")


def _story(found: Mapping[str, object]) -> str:
    who = f"User:{found['user']}" if found["user"] else "nobody"
    proof = f", proven by {found['proven_by']}" if found["proven_by"] else ", not proven"
    lines = [
        f"{found['time']}: request {found['code']} {found['request']} of {who}{proof}, from {found['source']}",
        f"{_outcome(found)} in {found['event']}: {found['reason']}",
        *_needs(found["needs"]),
    ]
    lines = list(map(visible, lines))
    if found.get("explained"):
        return "\n".join([*lines, str(found["explained"])])
    if found.get("withheld"):
        lines.append(str(found["withheld"]))
    return "\n".join([*lines, visible(f"what would turn it: {_hint(found)}")])


def _outcome(found: Mapping[str, object]) -> str:
    is_shadow = found.get("verdict") == "shadow-deny"
    return "let in, for policies are only watched; would be refused" if is_shadow else "refused"


def _needs(needs: object) -> Iterator[str]:
    for need in needs if isinstance(needs, list) else ():
        yield f"  {need.get('verdict', 'not judged')}: {' or '.join(need['actions'])} on {need['resource']}"
        entry = need.get("decided_by")
        if entry:
            actions, sources = ",".join(entry["actions"]), ",".join(entry["sources"]) or "anywhere"
            yield f"    by the entry {entry['decision']} {actions} on {entry['resource']} from {sources}"


def _hint(found: Mapping[str, object]) -> str:
    needs = found["needs"]
    if found["event"] in ("authorization", "touched") and isinstance(needs, list):
        for need in needs:
            if need.get("verdict") == "Deny":
                user, action = str(found["user"]), need["actions"][0]
                asked = ("--user", user, "--action", action, "--resource", need["resource"], "--from", found["source"])
                return f"mqguard explain {shlex.join(map(str, asked))}"
    from mqguard.guard.refusals import remedy

    return remedy(str(found["reason"]))
