"""Users and policies in the brokers of a cluster, read and changed with requests 3001 to 3010 (`RemoteStore`).

It works with brokers of Apache RocketMQ 5.3 and newer, and with those of mqguard. Brokers keep users and policies each
for itself. `broker_state` has the rule for brokers that differ.

Rule 1: all masters that the name servers know must answer. Otherwise nothing is confirmed, and no change begins.
Rule 2: a change is made at all masters, one after the other, and then read again. If a broker fails, the others still
make it, and the error names the brokers that have not made it.
Rule 3: brokers have no revisions. This store counts the changes that it sees. A change first reads all brokers, and is
decided again if anything has changed.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from mqguard.admin.client import Client, read
from mqguard.admin.errors import AddressInvalid, AnswerInvalid, PeerRefused
from mqguard.admin.session import ConnectionOptions
from mqguard.auth.errors import MetadataRejected, MetadataStoreFailed, PolicyInvalid
from mqguard.auth.ports import (
    Change,
    ChangeRecord,
    Metadata,
    MetadataUpdate,
    OnUpdate,
    PutUser,
    check_revision,
)
from mqguard.auth.snapshot import Snapshot
from mqguard.model.text import visible
from mqguard.net.errors import LinkError
from mqguard.remoting.bodies.topics import ClusterInfo
from mqguard.remoting.codes import RequestCode
from mqguard.runtime.plugin_store import ChangeJournal
from mqguard.runtime.remote.broker_state import (
    BrokerAccess,
    BrokerChanges,
    Common,
    changes_between,
    common_access,
    read_broker,
)

_LOG = logging.getLogger(__name__)

MASTER: Final = 0
MAX_BROKERS: Final = 1_024
"""Maximum number of masters; with more, nothing is read."""
SETTLE_S: Final = 45.0
"""Seconds for which a master counts that the name servers do not name any more."""
PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
"""Seconds between reads of brokers that differ, before the difference counts."""
MAX_LOGGED: Final = 10
"""Maximum number of differing users in one log line."""
_FAILURES: Final = (LinkError, PeerRefused, AnswerInvalid, AddressInvalid)


class _Master(NamedTuple):
    """A master.

    Attributes:
        address: Its address, `host:port`.
        named_s: Time of the monotonic clock at which a name server has named it.
    """

    address: str
    named_s: float


class BrokerMetadataStore:
    """A metadata store in the masters of a cluster. It is thread-safe.

    Args:
        namesrv: Addresses of the name servers, separated by `;`.
        options: Options of the connections. The credentials must be those of a Super user of all brokers.
        journal: Keeps the audit records of changes until the audit log has them.
    """

    def __init__(self, namesrv: str, options: ConnectionOptions, journal: ChangeJournal) -> None:
        self._namesrv = namesrv
        self._options = options
        self._journal = journal
        self._client = Client(namesrv, options)
        self._lock = threading.RLock()
        self._brokers: dict[str, BrokerAccess] = {}
        self._common: dict[str, Common] = {}
        self._revision = 0
        self._masters: dict[str, _Master] = {}
        self._is_loaded = False
        # True if `_common` is what a change should have led to, and no broker was read since.
        self._is_assumed = False
        self._is_closed = False
        self._listeners: list[OnUpdate] = []
        self._logged: Mapping[str, str] = {}

    @property
    def differences(self) -> Mapping[str, str]:
        """The users that the brokers have in different forms, with the difference."""
        return {name: found.difference for name, found in self._common.items() if found.difference}

    @property
    def brokers(self) -> int:
        """Number of masters that were read last."""
        return len(self._brokers)

    def load(self) -> Metadata:
        """Read all brokers; see `MetadataStore`."""
        with self._lock:
            self._refresh()
            found = self._common.values()
            return Metadata(
                [one.user for one in found if one.user is not None],
                [one.acl for one in found if one.acl is not None],
                self._revision,
            )

    def confirm(self) -> int:
        """Read all brokers, and report what has changed; see `RemoteStore`."""
        with self._lock:
            self._refresh()
            return self._revision

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """Make all changes at all masters; see `MetadataStore`.

        Raises:
            RevisionConflict: Users or policies have changed meanwhile; nothing has changed now.
            MetadataRejected: Brokers cannot keep such a user; nothing has changed.
            MetadataStoreFailed: A broker does not answer or refuses. The message says if others have made the change.
        """
        _check_kept(changes)
        with self._lock:
            self._refresh()
            check_revision(expected_revision, self._revision)
            if not changes:
                return self._revision
            expected = self._after(changes)
            failures = self._make(changes)
            if failures:
                made = sorted(self._brokers.keys() - failures.keys())
                self._is_assumed = True
                self._try_refresh()
                raise MetadataStoreFailed(_failure_text(failures, made))
            self._common, self._revision, self._is_assumed = expected, self._revision + 1, True
            revision = self._revision
            # The brokers may have kept something else, or others have changed it: that is reported as an update.
            self._try_refresh()
            return revision

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """Make all changes, and keep their record in a file of this server; see `RecordingStore`."""
        with self._lock:
            self._journal.begin(record)
            try:
                revision = self.apply(changes, expected_revision)
            except BaseException:
                self._journal.remove([record.id])
                raise
            self._journal.made(record.id)
            return revision

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """See `RecordingStore`."""
        with self._lock:
            return self._journal.records()

    def records_written(self, ids: Sequence[str]) -> None:
        """See `RecordingStore`."""
        with self._lock:
            self._journal.remove(ids)

    def watch(self, on_update: OnUpdate) -> None:
        """Call back after each difference that `confirm` finds; see `MetadataStore`."""
        self._check_open()
        self._listeners.append(on_update)

    def restart_watch(self) -> None:
        """Do nothing: `confirm` reads the brokers themselves."""

    def close(self) -> None:
        """Close all connections; see `MetadataStore`."""
        self._is_closed = True
        with self._lock:
            self._client.close()

    # Reading

    def _refresh(self) -> None:
        """Read all brokers, and report what has changed.

        Raises:
            MetadataStoreFailed: One of them does not answer, or refuses.
        """
        self._check_open()
        self._find_masters()
        found = self._read_all()
        if found == self._brokers and not self._is_assumed:
            return
        common, known = common_access(found), self.differences
        for pause_s in PAUSES_S:
            if not any(one.difference and name not in known for name, one in common.items()):
                break
            # Another server may be making a change at one broker after the other.
            time.sleep(pause_s)
            found = self._read_all()
            common = common_access(found)
        self._brokers, self._is_assumed = found, False
        self._take(common)

    def _read_all(self) -> dict[str, BrokerAccess]:
        return {name: self._read(name, master.address) for name, master in sorted(self._masters.items())}

    def _take(self, common: dict[str, Common]) -> None:
        old, self._common = self._common, common
        self._log_differences()
        changes = tuple(changes_between(old, common))
        if not self._is_loaded:
            self._is_loaded = True
            self._revision += bool(changes)
            return
        if changes:
            self._revision += 1
            update = MetadataUpdate(self._revision, self._revision - 1, changes)
            for on_update in self._listeners:
                on_update(update)

    def _try_refresh(self) -> None:
        try:
            self._refresh()
        except MetadataStoreFailed as exc:
            _LOG.warning("the brokers cannot be read after a change of users and policies: %s", exc)

    def _find_masters(self) -> None:
        """Read which masters there are.

        A master that the name servers do not name any more counts for `SETTLE_S`. A name server that has just started
        does not know all brokers. Those that it names may have missed a change.
        """
        try:
            answer = self._client.namesrv.call(RequestCode.GET_BROKER_CLUSTER_INFO)
            info = read(answer, ClusterInfo)
        except _FAILURES as exc:
            self._reconnect()
            raise MetadataStoreFailed(f"the name servers `{self._namesrv}` do not name the brokers: {exc}") from None
        now = time.monotonic()
        kept = {name: master for name, master in self._masters.items() if now - master.named_s < SETTLE_S}
        named = {
            name: _Master(data.broker_addrs[MASTER], now)
            for name, data in info.broker_addr_table.items()
            if MASTER in data.broker_addrs
        }
        found = {**kept, **named}
        if not found or len(found) > MAX_BROKERS:
            raise MetadataStoreFailed(f"the name servers `{self._namesrv}` know {len(found)} masters of brokers")
        self._masters = found

    def _read(self, name: str, address: str) -> BrokerAccess:
        try:
            return read_broker(self._client.at(address), self._options.credentials, self._brokers.get(name))
        except _FAILURES as exc:
            self._reconnect()
            raise MetadataStoreFailed(
                f"the broker `{visible(name)}` does not give its users and policies: {exc}"
            ) from None

    def _reconnect(self) -> None:
        """Drop all connections; the next request opens them again."""
        self._client.close()

    def _log_differences(self) -> None:
        found = self.differences
        if found == self._logged:
            return
        self._logged = found
        if not found:
            _LOG.warning("all brokers have the same users and policies again")
            return
        shown = "; ".join(f"`{visible(name)}`: {why}" for name, why in sorted(found.items())[:MAX_LOGGED])
        _LOG.error(
            "the brokers differ in %d users, who are disabled here until they agree: %s%s",
            len(found),
            shown,
            "" if len(found) <= MAX_LOGGED else "; and others",
        )

    def _check_open(self) -> None:
        if self._is_closed:
            raise MetadataStoreFailed("the store of users and policies is closed")

    # Changes

    def _after(self, changes: Sequence[Change]) -> dict[str, Common]:
        """Return what all brokers should have after changes."""
        found = self._common.values()
        before = Snapshot.of(
            Metadata(
                [one.user for one in found if one.user is not None], [one.acl for one in found if one.acl is not None]
            )
        )
        after = before.after(changes)
        names = {user.name for user in after.users()} | {acl.subject.name for acl in after.acls()}
        return {
            name: Common(
                after.user(name), after.acl(name), self._common[name].difference if name in self._common else ""
            )
            for name in names
        }

    def _make(self, changes: Sequence[Change]) -> dict[str, str]:
        """Make changes at all masters.

        Returns:
            The brokers that have not made all of them, with the reason.
        """
        failures: dict[str, str] = {}
        for name, state in self._brokers.items():
            try:
                maker = BrokerChanges(self._client.at(self._masters[name].address), state)
                for change in changes:
                    maker.make(change)
            except (*_FAILURES, PolicyInvalid) as exc:
                failures[name] = str(exc)
                if isinstance(exc, LinkError):
                    self._reconnect()
        return failures


def _failure_text(failures: Mapping[str, str], made: Sequence[str]) -> str:
    refused = "; ".join(f"`{visible(name)}`: {why}" for name, why in sorted(failures.items()))
    if not made:
        return f"no broker has acknowledged the change, read users and policies to see if it was made: {refused}"
    names = ", ".join(f"`{visible(name)}`" for name in made)
    return f"the change was made at {names} only, and users that differ are disabled until it is repeated: {refused}"


def _check_kept(changes: Sequence[Change]) -> None:
    """Reject users that brokers cannot keep.

    Raises:
        MetadataRejected: A user has several secrets, or none.
    """
    for change in changes:
        if isinstance(change, PutUser) and len(change.user.secrets) != 1:
            raise MetadataRejected(
                f"User:{change.user.name} must have one secret: users are kept by the brokers, which keep just one"
            )
