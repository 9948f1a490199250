"""Changes of users and policies carried out at the brokers of a running cluster."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mqguard.errors import MqguardError

if TYPE_CHECKING:
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.incarnation import MeantUsers
    from mqguard.auth.ports import Change
    from mqguard.cli.policy_source import BrokerState


class ChangesIncomplete(MqguardError):
    """A broker refused its changes, or took no more of them, after others had made theirs."""


def apply_at(
    brokers: "Sequence[BrokerState]",
    changes_of: "Sequence[Sequence[Change]]",
    confirmed_of: "Sequence[Collection[str]] | None" = None,
) -> None:
    """Make the changes of each broker, one broker after the other: at each of them all or none.

    Args:
        brokers: The brokers.
        changes_of: What is changed at each of them; nothing is sent to a broker without changes.
        confirmed_of: Users at each of them that are known to be the right ones.

    Raises:
        PeerRefused: The first broker refused; nothing has changed.
        ChangesTooMany: They are more than the first broker takes at once; nothing has changed.
        ChangesIncomplete: Another broker refused or took no more; the message says which brokers have changed.
        LinkError: A broker did not answer; the message says what is known.
    """
    from mqguard.admin import changes
    from mqguard.admin.errors import ChangesTooMany, PeerRefused
    from mqguard.net.errors import LinkError

    done: list[str] = []
    confirmed = confirmed_of or [()] * len(brokers)
    for broker, wanted, known in zip(brokers, changes_of, confirmed, strict=True):
        if not wanted:
            continue
        try:
            changes.apply(broker.session, wanted, meant_users(wanted, broker.directory, known))
        except LinkError as error:
            unknown = f"whether `{broker.name}` has made the changes is not known, so look before doing it again"
            raise type(error)(f"{error}: {unknown}{_told(done)}") from None
        except (ChangesTooMany, PeerRefused) as error:
            if not done:
                raise
            raise ChangesIncomplete(f"`{broker.name}` refuses: {error}{_told(done)}") from None
        done.append(broker.name)


def meant_users(changes: "Sequence[Change]", seen: "Directory", confirmed: "Collection[str]" = ()) -> "MeantUsers":
    """Return the users that changes are meant for, which are those that were seen."""
    from mqguard.auth.incarnation import MeantUsers
    from mqguard.auth.ports import PutAcl, PutUser

    names = [change.user.name for change in changes if isinstance(change, PutUser)]
    names += [change.acl.subject.name for change in changes if isinstance(change, PutAcl)]
    incarnations = {name: seen.users[name].incarnation for name in names if name in seen.users}
    return MeantUsers(incarnations, sorted(incarnations.keys() & set(confirmed)))


def _told(done: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in done)
    return f"; changed already: {names}" if done else ""
