"""Policy files: read with the secrets that they refer to, compared with users and policies, and applied."""

import collections
import hashlib
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mqguard.admin.broker_states import BrokerState, apply_at, meant_users, state_of
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.documents.document import Document, SecretPlace, SecretReference
from mqguard.auth.documents.nodes import DocumentInvalid
from mqguard.auth.documents.plan import Plan, PlanRefused, Resolve, plan
from mqguard.auth.documents.reader import read_document
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import PutAcl
from mqguard.auth.source import check_sources
from mqguard.auth.user import Secret, User
from mqguard.model.text import is_blank

MAX_FILE_BYTES = 64 << 20
"""Maximum size of a file: a million entries fit."""

MAX_PROBLEMS = 100
"""Maximum number of problems in one error; the error counts the rest."""


def load_document(path: Path) -> Document:
    """Read a policy file, `-` for standard input.

    Raises:
        PolicyInvalid: The file cannot be read, or is not valid; every problem has its line and column.
    """
    text = read_text(path)
    try:
        return read_document(text)
    except DocumentInvalid as error:
        raise located(path, error) from None


def located(path: Path, error: DocumentInvalid) -> PolicyInvalid:
    """Return the error with the file before each of its problems, one problem a line."""
    lines = [f"{path}:{problem.mark}: {problem.message}" for problem in error.problems[:MAX_PROBLEMS]]
    more = len(error.problems) - len(lines)
    return PolicyInvalid("\n".join([*lines, f"and {more} more"] if more else lines))


def read_text(path: Path) -> str:
    """Read the text of a file, `-` for standard input.

    Raises:
        PolicyInvalid: The file cannot be read, is too long, or is not UTF-8.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise PolicyInvalid(f"the file `{path}` is longer than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PolicyInvalid(f"the file `{path}` is not UTF-8: line {line} has another encoding") from None


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    with path.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)


MAX_SECRET_BYTES = 64 << 10
"""Maximum size of a file that holds a secret."""

_PREFIX = "MQGUARD_SECRET_"
_DIGEST_DIGITS = 8
"""Hex digits of a digest that distinguishes names with the same letters."""
_LIKE_DIGESTED = re.compile(f"_[0-9A-F]{{{_DIGEST_DIGITS}}}$")


def resolver(document: Path) -> Resolve:
    """Return a function that finds the secrets that a document refers to.

    Args:
        document: Path of the document; relative paths of secret files start at its directory.
    """

    def resolve(reference: SecretReference) -> Secret:
        if reference.place is SecretPlace.ENV:
            return Secret(_variable(reference.name))
        return Secret(_only_line(document.parent / reference.name))

    return resolve


def variables(names: Iterable[str]) -> Callable[[str], SecretReference]:
    """Return a function that gives each user an environment variable named after the user.

    Names with the same letters get a digest as suffix, and so do names that end like a digest. So no user is ever
    given the secret of another user.
    """
    shared = collections.Counter(map(_word, names))

    def variable(name: str) -> SecretReference:
        word = _word(name)
        if shared[word] > 1 or not word.strip("_") or _LIKE_DIGESTED.search(word):
            word += "_" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS].upper()
        return SecretReference(SecretPlace.ENV, _PREFIX + word)

    return variable


def is_secret(text: str) -> bool:
    """True if a file or a variable can hold the text as a secret: one line of valid text, not blank."""
    is_utf8 = not any("\ud800" <= sign <= "\udfff" for sign in text)
    return not is_blank(text) and text.splitlines() == [text] and "\0" not in text and is_utf8


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _variable(name: str) -> str:
    text = os.environ.get(name)
    if text is None:
        raise PolicyInvalid(f"the environment variable `{name}` is not set")
    if not is_secret(text):
        raise PolicyInvalid(f"the environment variable `{name}` must hold the secret in one line and nothing else")
    return text


def _only_line(path: Path) -> str:
    try:
        data = _read_regular(path)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    except ValueError:
        raise PolicyInvalid(f"`{path}` is not a valid path") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyInvalid(f"the file `{path}` is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not is_secret(text):
        raise PolicyInvalid(f"the file `{path}` must hold the secret in one line and nothing else")
    return text


def _read_regular(path: Path) -> bytes:
    """Read a regular file; a pipe may never answer, and a device may have no end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise PolicyInvalid(f"`{path}` is not a regular file: keep a secret in a file or in an environment variable")
    with path.open("rb") as stream:
        data = stream.read(MAX_SECRET_BYTES + 1)
    if len(data) > MAX_SECRET_BYTES:
        raise PolicyInvalid(f"the file `{path}` is longer than {MAX_SECRET_BYTES >> 10} KiB, the maximum for a secret")
    return data


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
        plans = []
        for state in states:
            plans.append(plan(document, state, resolve, **options._asdict()))
            _check_new_sources(path, plans[-1], state)
    except DocumentInvalid as error:
        raise located(path, error) from None
    return plans


def _check_new_sources(path: Path, found: Plan, state: AccessState) -> None:
    for change in found.changes:
        if isinstance(change, PutAcl):
            stored = state.acls.get(change.acl.subject.name)
            try:
                check_sources(change.acl.sources, () if stored is None else stored.sources)
            except PolicyInvalid as error:
                raise PolicyInvalid(f"{path}: {change.acl.subject.key}: {error}") from None


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
