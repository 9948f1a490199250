"""The latest denials with all that led to them, and their form in JSON, for `mqguard why`."""

import datetime as dt
from collections import OrderedDict, deque

import msgspec

from mqguard.auth.errors import RecordCorrupt
from mqguard.auth.explain import Explanation, explain, explanation_json, explanation_text
from mqguard.auth.policy import Decision as Word
from mqguard.auth.policy_index import Rights
from mqguard.auth.records import AclRecord
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest, Reason, Verdict
from mqguard.guard.audit_format import SHADOW_DENY, need_facts
from mqguard.guard.context import RequiredPermission, RequiredPermissions
from mqguard.model.text import visible
from mqguard.remoting.codes import CODE_NAMES

_REMEDIES = {
    "no-credentials": "the client must sign its requests with an access key and a secret",
    "no-signature": "the client must sign its requests with its secret",
    "unknown-user": "create the user, or correct the access key in the client's configuration",
    "wrong-signature": "correct the secret in the client's configuration",
    "expired-secret": "give the client the user's new secret",
    "disabled": "enable the user",
    "throttled": "wait, and correct the credentials of the client that keeps failing from this address",
    "missing-field": "correct the client, or send it as a Super user",
    "foreign-retry-topic": "use the retry topic as the group that it belongs to, or as a Super user",
    "foreign-owner": "use another client id, or connect as the user that it belongs to",
    "super-only": "send it as a Super user",
    "broker-only": "sign it with `innerClientAuthenticationCredentials`, or send it as a Super user",
    "unmapped-code": "send it as a Super user",
    "audit-full": "make room for the audit log, or set `auditFull = drop`",
    "plugin-refused": "the plugin that decides must decide otherwise: see its own log",
    "plugin-raised": "fix the plugin: the server's log has its error",
    "plugin-late": "see why the plugin is slow, or raise `pluginTimeoutMs`",
    "plugin-nonsense": "fix the plugin: the server's log has the value that it returned",
    "plugin-busy": "see why the plugin is slow, or raise `pluginThreads`",
    "fault": "see the server's log at that time",
}


FORGOTTEN = "the policies of that time are no longer kept: use `mqguard explain` for the current policies"


class Denial(msgspec.Struct, frozen=True, gc=False):
    """One refusal.

    Attributes:
        decision_id: The id that the peer was told.
        when_ms: Milliseconds since the epoch.
        user: Who was refused: the proven user, or the name that was claimed if nothing was proven; empty for none.
        proven: Whether `user` was proven.
        source: The address that the request came from.
        code: The request code.
        stage: `authentication`, `requirements`, `authorization`, `touched` or `guard`.
        reason: Machine word.
        remark: What the peer was told.
        needs: Everything that the request needed, as far as it was known.
        refused: The need that was not met, None if it did not come to that.
        verdict: The decision about `refused`, None if it did not come to that.
        rights: The user's rights at that moment, None if nobody's were looked at.
        version: Version of users and policies.
        method: What proved the user, empty if nothing did.
        shadow: Whether it was let in all the same, because policies are only watched.
        forgotten: True if the rights of that moment are not remembered any more.
    """

    decision_id: str
    when_ms: int
    user: str
    proven: bool
    source: str
    code: int
    stage: str
    reason: str
    remark: str
    needs: RequiredPermissions = ()
    refused: RequiredPermission | None = None
    verdict: Verdict | None = None
    rights: Rights | None = None
    version: int = 0
    method: str = ""
    shadow: bool = False
    forgotten: bool = False

    def explanation(self) -> Explanation | None:
        """The entries that were considered, the one that decided and what would turn it, as of that moment.

        None where no entry was asked, or where the stored policies cannot be read.
        """
        need = self.refused
        if need is None or self.rights is None:
            return None
        request = AccessRequest(need.type, need.name, need.actions, parse_address(self.source))
        try:
            return explain(self.user, request, self.rights)
        except RecordCorrupt:
            return None

    def story(self) -> str:
        """Everything about it in lines, for an administrator."""
        moment = dt.datetime.fromtimestamp(self.when_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
        who = f"User:{self.user}{'' if self.proven else ' (claimed, not proven)'}" if self.user else "nobody"
        outcome = "allowed in shadow mode; would be denied if enforced" if self.shadow else "refused"
        lines = [
            f"decision {self.decision_id} of {moment}",
            f"request {self.code} {CODE_NAMES.get(self.code, 'unknown')} of {who} from {self.source or 'nowhere'}",
            f"{outcome} in {self.stage}: {self.reason}",
            f"the peer {'would be' if self.shadow else 'was'} told: {self.remark}",
        ]
        if self.needs:
            lines.append(f"it needed: {', '.join(need.text for need in self.needs)}")
        lines = list(map(visible, lines))
        explanation = self.explanation()
        if self.forgotten:
            lines.append(FORGOTTEN)
            return "\n".join(lines)
        lines.append(
            explanation_text(explanation) if explanation is not None else f"to reverse this decision: {self._remedy()}"
        )
        return "\n".join(lines)

    def _remedy(self) -> str:
        return remedy("no-credentials" if self.stage == "authorization" and not self.proven else self.reason)


def remedy(reason: str) -> str:
    """What would turn a refusal that no policy decided, by its machine word."""
    return _REMEDIES.get(reason, "correct the client: no policy change allows this request")


MOST_NEEDS_KEPT = 8
"""Most needs that are remembered of one refusal, the refused one among them: peers may name thousands in one request,
each with a name of a kilobyte, and memory must not follow."""
MAX_NAMES_KEPT = 1_024
"""How much of the names of these is remembered, the refused one aside."""
MAX_REMARK = 1_024
"""How much of what the peer was told is remembered."""
MAX_ENTRIES = 20_000
"""How many entries the policies have together that are remembered with refusals: each change makes others."""
_UNAUTHENTICATED_SHARE = 4
"""One refusal in so many may be of a peer that proved nothing."""
_SENDER_SHARE = 4
"""One refusal in so many may be of the same user, or of the same address of peers that proved nothing."""


class DenialLog:
    """Remembers the last refusals; older ones are found in the audit log by their id.

    Each user has a share, and so have peers that did not prove who they are, together and each address of theirs. Their
    refusals displace no others.
    """

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` refusals of users, and a part of that of peers that proved nothing."""
        self._proven = _Kept(limit)
        self._unproven = _Kept(max(1, limit // _UNAUTHENTICATED_SHARE))

    def add(self, refusal: Denial) -> None:
        """Remember one, and forget the oldest if there are too many."""
        needs, refused = refusal.needs, refusal.refused
        if len(needs) > MOST_NEEDS_KEPT or sum([len(need.name) for need in needs]) > MAX_NAMES_KEPT:
            first, room = [], MAX_NAMES_KEPT
            for need in needs[:MOST_NEEDS_KEPT]:
                room -= len(need.name)
                if room >= 0 or need is refused:
                    first.append(need)
            if refused is not None and refused not in first:
                first = [*first[: MOST_NEEDS_KEPT - 1], refused]
            refusal = msgspec.structs.replace(refusal, needs=tuple(first))
        if len(refusal.remark) > MAX_REMARK or len(refusal.user) > MAX_REMARK:
            refusal = msgspec.structs.replace(
                refusal, remark=_shortened(refusal.remark), user=refusal.user[:MAX_REMARK]
            )
        (self._proven if refusal.proven else self._unproven).add(refusal)

    def find(self, decision_id: str) -> Denial | None:
        """The refusal of that id, None if it is not remembered."""
        return self._proven.refusals.get(decision_id) or self._unproven.refusals.get(decision_id)

    def last(self, count: int) -> list[Denial]:
        """The latest refusals, newest first."""
        every = [one for kept in (self._proven, self._unproven) for one in kept.last(count)]
        return sorted(every, key=lambda refusal: refusal.when_ms, reverse=True)[:count]

    def __len__(self) -> int:
        return len(self._proven.refusals) + len(self._unproven.refusals)


class _Kept:
    """Some refusals, of which only those with the newest rights keep them."""

    def __init__(self, limit: int) -> None:
        self.refusals: OrderedDict[str, Denial] = OrderedDict()
        self._limit = limit
        self._share_of_sender = max(1, limit // _SENDER_SHARE)
        # The ids of the refusals of each sender, oldest first.
        self._senders: dict[str, deque[str]] = {}
        # The ids of the refusals that share rights, by the id of the rights. The refusals keep the rights alive.
        self._sharing: OrderedDict[int, set[str]] = OrderedDict()
        self._weights: dict[int, int] = {}
        self._weight = 0

    def add(self, refusal: Denial) -> None:
        if refusal.decision_id in self.refusals:
            self._remove(refusal.decision_id)
        self.refusals[refusal.decision_id] = refusal
        ids = self._senders.setdefault(_sender(refusal), deque())
        ids.append(refusal.decision_id)
        if refusal.rights is not None:
            self._share(refusal.decision_id, refusal.rights)
        if len(ids) > self._share_of_sender:
            self._remove(ids[0])
        while len(self.refusals) > self._limit:
            self._remove(next(iter(self.refusals)))

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
                self.refusals[other] = msgspec.structs.replace(self.refusals[other], rights=None, forgotten=True)

    def _remove(self, decision_id: str) -> None:
        refusal = self.refusals.pop(decision_id)
        ids = self._senders[_sender(refusal)]
        ids.remove(decision_id)  # the first, but for a refusal that is added again
        if not ids:
            del self._senders[_sender(refusal)]
        at = id(refusal.rights)
        if refusal.rights is None:
            return
        self._sharing[at].discard(refusal.decision_id)
        if not self._sharing[at]:
            del self._sharing[at]
            self._weight -= self._weights.pop(at)

    def last(self, count: int) -> list[Denial]:
        return [refusal for _, refusal in zip(range(count), reversed(self.refusals.values()), strict=False)]


def _sender(refusal: Denial) -> str:
    return refusal.user if refusal.proven else refusal.source


def _weight(rights: Rights) -> int:
    acl = rights.stored_acl
    if isinstance(acl, AclRecord):
        return 1 + len(acl.data) // _BYTES_OF_ENTRY
    return 1 if acl is None else 1 + sum(len(policy.entries) for policy in acl.policies)


_BYTES_OF_ENTRY = 64
"""How long a stored entry is at least, about."""


def _shortened(remark: str) -> str:
    # The id of the decision stands at the end.
    half = MAX_REMARK // 2
    return remark if len(remark) <= MAX_REMARK else f"{remark[:half]}...{remark[-half:]}"


WITHHELD = "the user or its policies have changed since: only a Super user may see the entries of that time"
_MET = Verdict(Word.ALLOW, Reason.ALLOWED)


def facts_of(refusal: Denial, *, with_entries: bool) -> dict[str, object]:
    """Everything about a refusal, under the names of the audit log's JSON lines.

    Args:
        refusal: The refusal.
        with_entries: True to include the entries of policies; else `hidden_reason` says why they are missing.

    Returns:
        The members of its line in the audit log, without its duration; `message`, the error message that the client
        received or would receive; and `version` of users and policies. Where entries were evaluated also `explanation`,
        see `explanation_json`, and `explanation_text`, the same as text.
    """
    moment = dt.datetime.fromtimestamp(refusal.when_ms / 1000, dt.UTC)
    facts: dict[str, object] = {
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{refusal.when_ms % 1000:03d}Z",
        "event": refusal.stage,
        "verdict": SHADOW_DENY if refusal.shadow else "deny",
        "reason": str(refusal.reason),
        "user": refusal.user,
        "authenticated_by": refusal.method,
        "source": refusal.source,
        "code": refusal.code,
        "request": CODE_NAMES.get(refusal.code, "unknown"),
        "needs": [need_facts(need, verdict) for need, verdict in _judged(refusal, with_entries=with_entries)],
        "decision": refusal.decision_id,
        "message": refusal.remark,
        "version": refusal.version,
    }
    explanation = refusal.explanation()
    if explanation is not None and with_entries:
        facts["explanation"] = explanation_json(explanation)
        facts["explanation_text"] = explanation_text(explanation)
    elif explanation is not None:
        facts["hidden_reason"] = WITHHELD
    elif refusal.forgotten:
        facts["hidden_reason"] = FORGOTTEN
    return facts


def _judged(refusal: Denial, *, with_entries: bool) -> list[tuple[RequiredPermission, Verdict | None]]:
    """Every need with its verdict: judged in order up to the one that was refused."""
    needs, refused = refusal.needs, refusal.refused
    place = needs.index(refused) if refused in needs else 0
    verdict = refusal.verdict
    if verdict is not None and not with_entries:
        verdict = Verdict(verdict.decision, verdict.reason)
    told = (*(_MET for _ in needs[:place]), verdict, *(None for _ in needs[place + 1 :]))
    return list(zip(needs, told, strict=False))
