"""Plans that bring users and policies to the state of a policy file, and carrying them out."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mqguard.admin.broker_states import BrokerState, state_of
from mqguard.admin.changes import apply_at, meant_users
from mqguard.admin.policy_files import load_document, located
from mqguard.admin.secret_references import resolver
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.documents.plan import Plan, PlanRefused, plan
from mqguard.auth.documents.problems import DocumentInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.auth.user import User


class PlanOptions(NamedTuple):
    """Options of a plan.

    Attributes:
        prune: True to delete users and policies that the file does not name.
        set_secrets: True to set secrets that cannot be compared.
        confirmed: Users that an operator has confirmed, each with its incarnation.
    """

    prune: bool = False
    set_secrets: bool = False
    confirmed: frozenset[tuple[str, str]] = frozenset()


def plan_file(path: Path, states: Iterable[AccessState], options: PlanOptions) -> list[Plan]:
    """Return the plan for each of several states.

    Raises:
        PolicyInvalid: The file is not valid, or the plan would lock every administrator out.
    """
    document, resolve = load_document(path), resolver(path)
    try:
        return [plan(document, state, resolve, **options._asdict()) for state in states]
    except DocumentInvalid as error:
        raise located(path, error) from None


def apply_to_manager(path: Path, manager: MetadataManager, options: PlanOptions) -> Plan:
    """Bring the users and policies of a manager to the state of a file.

    Raises:
        PolicyInvalid: The file is not valid, or the plan is refused; nothing has changed.
    """
    state = state_of(manager.snapshot)
    found = plan_file(path, [state], options)[0]
    check_confirmed([found])
    if found.changes:
        manager.apply(found.changes, meant=meant_users(found.changes, state, found.confirmed))
    return found


def apply_to_brokers(path: Path, brokers: Sequence[BrokerState], options: PlanOptions) -> list[Plan]:
    """Bring every broker to the state of a file; a second run completes a run that failed in the middle.

    Raises:
        PolicyInvalid: The file is not valid, or a plan is refused; nothing has changed.
        MqguardError: A broker did not make its changes; see `apply_at`.
    """
    # All plans are made before the first change, so that a mistake in the file changes nothing.
    plans = plan_file(path, [broker.directory for broker in brokers], options)
    check_confirmed(plans)
    apply_at(brokers, [found.without_kept_secrets() for found in plans], [found.confirmed for found in plans])
    return plans


def check_confirmed(plans: Iterable[Plan]) -> None:
    """Refuse plans that grant permissions to users that are not confirmed.

    Raises:
        PlanRefused: A user is not confirmed; the message says how to confirm it.
    """
    found = {confirm_option(user): user.name for one in plans for user in one.unconfirmed}
    if found:
        names = ", ".join(f"`{name}`" for name in sorted(set(found.values())))
        raise PlanRefused(
            f"nothing was changed: the file grants permissions to {names}, but the name may belong to another user "
            "than when the file was written: `apply` has not created the user, or a user who is not Super has set its "
            f"secret since. If it is the right user, add {' '.join(sorted(found))}"
        )


def confirm_option(user: User) -> str:
    """Return the option of `mqguard apply` that confirms a user."""
    return f"--confirm {shlex.quote(f'{user.name}={user.incarnation}')}"
