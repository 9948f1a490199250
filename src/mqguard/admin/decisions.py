"""Decisions: explained by policies, found by the id of a denial, and made again from audit logs."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mqguard.admin.client import Client, read
from mqguard.admin.errors import AnswerInvalid, ClusterUnknown, PeerRefused
from mqguard.admin.session import Session
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import RightChange, compare
from mqguard.auth.analysis.replay import Replay, replay
from mqguard.auth.analysis.source_sets import SourceSet
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.explain import Explanation, explain
from mqguard.auth.minimal_change import MinimalChange, apply_to_acl, apply_to_user
from mqguard.auth.policy import Acl, Action
from mqguard.auth.resource import Pattern, Resource
from mqguard.auth.source import parse_address
from mqguard.auth.user import Subject
from mqguard.auth.verdict import AccessRequest
from mqguard.errors import MqguardError, NotFound
from mqguard.guard.audit_log_reader import AuditReader
from mqguard.guard.denial import answer_of
from mqguard.net.errors import LinkError
from mqguard.remoting.codes import OwnCode, ResponseCode
from mqguard.remoting.headers.access import DecisionHeader
from mqguard.telemetry.audit_files import find_decision, logs_of_server


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
    changes = () if found.minimal_change is None else _changes(directory, user, found.minimal_change)
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


def _changes(directory: AccessState, user: str, change: MinimalChange) -> tuple[RightChange, ...]:
    """Return every permission that a change of one user gives or takes, for the explained request and for others."""
    known, acl = directory.users.get(user), directory.acls.get(user)
    old = AccessState.of([known] if known else [], [acl] if acl else [])
    new = AccessState.of([apply_to_user(user, known, change)], [apply_to_acl(acl or Acl(Subject(user), ()), change)])
    return compare(old, new).rights


def _is_of_request(change: RightChange, request: AccessRequest) -> bool:
    region = change.region
    return (
        (region.resource.type, region.resource.name) == (request.type, request.name)
        and request.actions >= {*region.actions}
        and region.sources == SourceSet.single(request.address)
    )


Facts = dict[str, object]
"""Facts of a denial, see `Denial.facts`."""

_UNKNOWN = frozenset({ResponseCode.QUERY_NOT_FOUND, ResponseCode.REQUEST_CODE_NOT_SUPPORTED})
_ID = re.compile(r"([A-Za-z0-9_-]{1,64})")
_ID_IN_MESSAGE = re.compile(r"\[decision ([A-Za-z0-9_-]{1,64})\]")


def decision_id(text: str) -> str | None:
    """Return the decision id in a text, which is the id or a message that contains it; None if there is no id."""
    found = _ID.fullmatch(text.strip()) or _ID_IN_MESSAGE.search(text)
    return found[1] if found else None


def find_at_broker(session: Session, decision: str) -> Facts | None:
    """Return the facts of a denial from one broker.

    Returns:
        None if the broker does not keep the denial any more, or is not mqguard.

    Raises:
        PeerRefused: The caller has no permission.
        AnswerInvalid: The broker sent an answer that cannot be read.
    """
    answer = session.call(
        OwnCode.GET_DECISION, DecisionHeader(decision_id=decision), accept=_UNKNOWN | {ResponseCode.SUCCESS}
    )
    return None if answer.code in _UNKNOWN else read(answer, Facts)


def find_at_brokers(client: Client, cluster: str | None, decision: str) -> tuple[Facts | None, MqguardError | None]:
    """Return the facts of a denial from the first broker that has them, or the last error of a broker without."""
    failed: MqguardError | None = None
    try:
        brokers = client.brokers(cluster)
    except (LinkError, PeerRefused, AnswerInvalid, ClusterUnknown) as error:
        return None, error
    for broker in brokers:
        try:
            found = find_at_broker(client.at(broker.address), decision)
        except (LinkError, PeerRefused, AnswerInvalid) as error:
            failed = error
        else:
            if found is not None:
                return found, None
    return None, failed


def find_in_log(log: Path, decision: str, failed: MqguardError | None = None) -> Facts:
    """Return the facts of a denial from an audit log and its full parts.

    Args:
        log: Path of the audit log that is being written.
        decision: Id of the decision.
        failed: Error of a broker that could not be asked before.

    Raises:
        NotFound: The audit log does not contain the decision.
        MqguardError: The log cannot be read; or it does not exist, and this is the error of the broker.
    """
    try:
        logs = logs_of_server(log)
        found = next(filter(None, (find_decision(one, decision) for one in logs)), None)
    except OSError as error:
        raise MqguardError(f"the audit log `{log}` cannot be read: {error.strerror}") from None
    if found is not None:
        return answer_of(found)
    exists = any(one.exists() for one in logs)
    if failed is not None and not exists:
        raise failed
    unasked = f"; not every broker could be asked: {failed}" if failed is not None else ""
    missing = f"the audit log `{log}` and its older parts do not contain it" if exists else f"`{log}` does not exist"
    raise NotFound(f"decision `{decision}` was not found: {missing}{unasked}")


LOG_NAME = "audit.jsonl"
"""Name of the audit log with JSON lines; full parts are `audit.jsonl.1` and so on."""


class LogReplay(NamedTuple):
    """Result of a replay.

    Attributes:
        files: Files that were read.
        reader: Reader with the counts of records.
        replay: Decisions that would be different.
    """

    files: list[Path]
    reader: AuditReader
    replay: Replay


def replay_logs(paths: Iterable[Path], directory: AccessState) -> LogReplay:
    """Decide the requests in audit logs again, by other users and policies.

    Args:
        paths: Audit logs, or directories that hold them.
        directory: Users and policies to decide by.

    Raises:
        PolicyInvalid: A file cannot be read, or is not an audit log.
    """
    reader = AuditReader()
    files = list(_files(paths))
    for path in files:
        _read(path, reader)
    return LogReplay(files, reader, replay(reader.asked, directory))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each file once, with the files of directories in their place."""
    seen = set()
    for path in paths:
        logs = logs_of_server(path / LOG_NAME) if path.is_dir() else []
        parts = [part for log in logs for part in sorted(log.parent.glob(f"{LOG_NAME}*"))] if logs else [path]
        if not parts:
            raise PolicyInvalid(f"the directory `{path}` has no `{LOG_NAME}`")
        for part in parts:
            if part.resolve() not in seen:
                seen.add(part.resolve())
                yield part


def _read(path: Path, reader: AuditReader) -> None:
    lines = 0
    before = reader.unreadable
    try:
        with path.open("rb") as stream:
            for line in stream:
                lines += 1
                reader.take(line)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    if lines and reader.unreadable - before == lines:
        raise PolicyInvalid(f"the file `{path}` is not an audit log with JSON lines: give `{LOG_NAME}`")
