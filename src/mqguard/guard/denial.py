"""The latest denials with all that led to them, and their form in JSON, for `mqguard why`."""

import datetime as dt
from collections import OrderedDict, deque

import msgspec

from mqguard.auth.errors import RecordCorrupt
from mqguard.auth.explain import Explanation, explain, explanation_json, explanation_text
from mqguard.auth.policy_index import Rights
from mqguard.auth.records import AclRecord
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest, Verdict
from mqguard.guard.audit import AuditEvent, bound_event
from mqguard.guard.audit_format import event_facts
from mqguard.guard.errors import DenialReason
from mqguard.guard.permissions import RequiredPermission

_REMEDIES: dict[str, str] = {
    DenialReason.NO_CREDENTIALS: "the client must sign its requests with an access key and a secret",
    DenialReason.NO_SIGNATURE: "the client must sign its requests with its secret",
    DenialReason.UNKNOWN_USER: "create the user, or correct the access key in the client's configuration",
    DenialReason.WRONG_SIGNATURE: "correct the secret in the client's configuration",
    DenialReason.STALE_SIGNATURE: "set the clock of the client, or raise `signatureMaxAge`",
    DenialReason.EXPIRED_SECRET: "give the client the user's new secret",
    DenialReason.DISABLED: "enable the user",
    DenialReason.THROTTLED: "wait, and correct the credentials of the client that keeps failing from this address",
    DenialReason.MISSING_FIELD: "correct the client, or send it as a Super user",
    DenialReason.FOREIGN_RETRY_TOPIC: "use the retry topic as the group that it belongs to, or as a Super user",
    DenialReason.FOREIGN_OWNER: "use another client id, or connect as the user that it belongs to",
    DenialReason.SUPER_ONLY: "send it as a Super user",
    DenialReason.BROKER_ONLY: "sign it with `innerClientAuthenticationCredentials`, or send it as a Super user",
    DenialReason.UNMAPPED_CODE: "send it as a Super user",
    DenialReason.AUDIT_FULL: "make room for the audit log, or set `auditFull = drop`",
    DenialReason.PLUGIN_REFUSED: "the plugin that decides must decide otherwise: see its own log",
    DenialReason.PLUGIN_RAISED: "fix the plugin: the server's log has its error",
    DenialReason.PLUGIN_LATE: "see why the plugin is slow, or raise `pluginTimeoutMs`",
    DenialReason.PLUGIN_NONSENSE: "fix the plugin: the server's log has the value that it returned",
    DenialReason.PLUGIN_BUSY: "see why the plugin is slow, or raise `pluginThreads`",
    DenialReason.INTERNAL_ERROR: "see the server's log at that time",
}


FORGOTTEN = "the policies of that time are no longer kept: use `mqguard explain` for the current policies"

WITHHELD = "the user or its policies have changed since: only a Super user may see the entries of that time"


class Denial(msgspec.Struct, frozen=True, gc=False):
    """One denial, enforced or not.

    Attributes:
        event: The denied request, in a copy of its own; `rights` are the user's at that moment.
        message: The message that the peer received, or would receive.
        refused: The permission that was not granted, None for another reason.
        forgotten: True if the rights of that moment are not kept any more.
    """

    event: AuditEvent
    message: str
    refused: RequiredPermission | None = None
    forgotten: bool = False

    def explanation(self) -> Explanation | None:
        """Return the entries that cover the request and the smallest change that reverses the decision.

        Both are of the moment of the denial. None if no entry was evaluated, or if the stored policies are unreadable.
        """
        permission, event = self.refused, self.event
        if permission is None or event.rights is None:
            return None
        request = AccessRequest(permission.type, permission.name, permission.actions, parse_address(event.source))
        try:
            return explain(event.user, request, event.rights)
        except RecordCorrupt:
            return None

    def facts(self, *, with_entries: bool) -> dict[str, object]:
        """Return the denial for programs.

        Args:
            with_entries: True to include the entries of policies; else `hiddenReason` says why they are missing.

        Returns:
            The members of its line in the audit log, without its duration (see `answer_of`). `message` is the error
            message that the client received or would receive, `version` that of users and policies. If entries were
            evaluated there are `explanation` (see `explanation_json`) and `explanationText`, the same as text.
        """
        event = self.event
        moment = dt.datetime.fromtimestamp(event.when_ms / 1000, dt.UTC)
        facts: dict[str, object] = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{event.when_ms % 1000:03d}Z",
            **answer_of(event_facts(event, with_entries=with_entries)),
            "message": self.message,
            "version": event.version,
        }
        explanation = self.explanation()
        if explanation is not None and with_entries:
            facts["explanation"] = explanation_json(explanation)
            facts["explanationText"] = explanation_text(explanation)
        elif explanation is not None:
            facts["hiddenReason"] = WITHHELD
        elif self.forgotten:
            facts["hiddenReason"] = FORGOTTEN
        return facts


def answer_of(line: dict[str, object]) -> dict[str, object]:
    """Return a line of the audit log under the names of answers and commands, which are in camel case.

    The names in the log stay as they are, since stored logs are read again.
    """
    permissions = line.get("permissions")
    answer = {_ANSWER_NAMES.get(name, name): value for name, value in line.items()}
    if isinstance(permissions, list):
        answer["permissions"] = [
            {_ANSWER_NAMES.get(name, name): value for name, value in one.items()} if isinstance(one, dict) else one
            for one in permissions
        ]
    return answer


_ANSWER_NAMES = {"authenticated_by": "authenticatedBy", "decided_by": "decidedBy"}


def denial_of(event: AuditEvent, message: str, refused: RequiredPermission | None) -> Denial:
    """Return the denial of an event as it is now, bounded in memory.

    Args:
        event: The event.
        message: The message for the peer.
        refused: The permission that is not granted; the event's last verdict is about it.
    """
    verdicts = event.verdicts
    if refused is not None:
        # Each entry keeps others in memory, so only that of the denial is kept.
        verdicts = (*[Verdict(verdict.decision, verdict.reason) for verdict in verdicts[:-1]], *verdicts[-1:])
    copy = msgspec.structs.replace(event, signature=None, key=(), verdicts=verdicts)
    bound_event(copy, MAX_PERMISSIONS_KEPT, MAX_NAMES_KEPT)
    return Denial(copy, _shortened(message), refused)


def remedy(reason: str) -> str:
    """Return the way to reverse a denial that no policy decided, by its reason."""
    return _REMEDIES.get(reason, "correct the client: no policy change allows this request")


MAX_PERMISSIONS_KEPT = 8
"""Maximum number of permissions that one denial keeps, with the refused one. Peers may name thousands of resources in
one request, each with a name of a kilobyte."""
MAX_NAMES_KEPT = 1_024
"""Maximum characters of these permissions' names."""
MAX_MESSAGE = 1_024
"""Maximum characters of the message for the peer that one denial keeps."""
MAX_ENTRIES = 20_000
"""Maximum number of entries of the policies that are kept with denials: each change of a policy makes another."""
_UNAUTHENTICATED_SHARE = 4
"""One denial in so many may be of an unauthenticated peer."""
_SENDER_SHARE = 4
"""One denial in so many may be of the same user, or of the same address of unauthenticated peers."""


class DenialLog:
    """The latest denials; the audit log has older ones by their id.

    Each user has a share, and so have unauthenticated peers, together and for each of their addresses. Their denials
    displace no others.
    """

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` denials of users, and a part of that of unauthenticated peers."""
        self._of_users = _Kept(limit)
        self._of_addresses = _Kept(max(1, limit // _UNAUTHENTICATED_SHARE))

    def add(self, denial: Denial) -> None:
        """Keep a denial, and drop the oldest if there are too many."""
        (self._of_addresses if denial.event.identity is None else self._of_users).add(denial)

    def find(self, decision_id: str) -> Denial | None:
        """Return the denial of that id, None if it is not kept."""
        return self._of_users.denials.get(decision_id) or self._of_addresses.denials.get(decision_id)

    def last(self, count: int) -> list[Denial]:
        """Return the latest denials, newest first."""
        every = [one for kept in (self._of_users, self._of_addresses) for one in kept.last(count)]
        return sorted(every, key=lambda denial: denial.event.when_ms, reverse=True)[:count]

    def __len__(self) -> int:
        return len(self._of_users.denials) + len(self._of_addresses.denials)


class _Kept:
    """A bounded number of denials; only those with the newest rights keep these."""

    def __init__(self, limit: int) -> None:
        self.denials: OrderedDict[str, Denial] = OrderedDict()
        self._limit = limit
        self._share_of_sender = max(1, limit // _SENDER_SHARE)
        # The ids of the denials of each sender, oldest first.
        self._senders: dict[str, deque[str]] = {}
        # The ids of the denials that share rights, by the id of the rights. The denials keep the rights alive.
        self._sharing: OrderedDict[int, set[str]] = OrderedDict()
        self._weights: dict[int, int] = {}
        self._weight = 0

    def add(self, denial: Denial) -> None:
        if denial.event.decision_id in self.denials:
            self._remove(denial.event.decision_id)
        self.denials[denial.event.decision_id] = denial
        ids = self._senders.setdefault(_sender(denial), deque())
        ids.append(denial.event.decision_id)
        if denial.event.rights is not None:
            self._share(denial.event.decision_id, denial.event.rights)
        if len(ids) > self._share_of_sender:
            self._remove(ids[0])
        while len(self.denials) > self._limit:
            self._remove(next(iter(self.denials)))

    def _share(self, decision_id: str, rights: Rights) -> None:
        at = id(rights)
        if at not in self._sharing:
            self._sharing[at] = set()
            self._weights[at] = _weight(rights)
            self._weight += self._weights[at]
        self._sharing[at].add(decision_id)
        self._sharing.move_to_end(at)
        while self._weight > MAX_ENTRIES and len(self._sharing) > 1:
            oldest, sharing = self._sharing.popitem(last=False)
            self._weight -= self._weights.pop(oldest)
            for other in sharing:
                self.denials[other] = _without_rights(self.denials[other])

    def _remove(self, decision_id: str) -> None:
        denial = self.denials.pop(decision_id)
        ids = self._senders[_sender(denial)]
        ids.remove(decision_id)  # the first, but for a denial that is added again
        if not ids:
            del self._senders[_sender(denial)]
        at = id(denial.event.rights)
        if denial.event.rights is None:
            return
        self._sharing[at].discard(denial.event.decision_id)
        if not self._sharing[at]:
            del self._sharing[at]
            self._weight -= self._weights.pop(at)

    def last(self, count: int) -> list[Denial]:
        return [denial for _, denial in zip(range(count), reversed(self.denials.values()), strict=False)]


def _sender(denial: Denial) -> str:
    return denial.event.user if denial.event.identity is not None else denial.event.source


def _weight(rights: Rights) -> int:
    acl = rights.stored_acl
    if isinstance(acl, AclRecord):
        return 1 + len(acl.data) // _BYTES_OF_ENTRY
    return 1 if acl is None else 1 + sum(len(policy.entries) for policy in acl.policies)


_BYTES_OF_ENTRY = 64
"""Minimum bytes of a stored entry, about."""


def _without_rights(denial: Denial) -> Denial:
    return Denial(msgspec.structs.replace(denial.event, rights=None), denial.message, denial.refused, forgotten=True)


def _shortened(message: str) -> str:
    # The id of the decision is at the end.
    half = MAX_MESSAGE // 2
    return message if len(message) <= MAX_MESSAGE else f"{message[:half]}...{message[-half:]}"
