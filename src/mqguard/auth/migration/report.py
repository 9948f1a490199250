"""Migration report: notes by account and line, and differences in rights."""

import dataclasses
import enum

from mqguard.auth.documents.problems import Mark
from mqguard.auth.policy import Action


class NoteKind(enum.StrEnum):
    """The kind of a note, as a keyword."""

    SKIPPED_ACCOUNT = "skipped-account"
    """The account is not migrated at all."""
    EXISTING_USER = "existing-user"
    """A user of that name exists and stays unchanged."""
    REPEATED_ACCOUNT = "repeated-account"
    """An earlier account has the same name."""
    WHITE_LIST = "white-list"
    """Addresses that needed no credentials in 1.0; mqguard has no equivalent."""
    UNKNOWN_PERMISSION = "unknown-permission"
    """A permission that 1.0 does not recognize and treats as DENY; mqguard keeps DENY."""
    SKIPPED_ITEM = "skipped-item"
    """An item that had no effect in 1.0, or has no equivalent in mqguard."""
    REPLACED_ITEM = "replaced-item"
    """A later item for the same resource replaced it in 1.0, and replaces it in mqguard."""
    ADMIN_WITH_PERMISSIONS = "admin-with-permissions"
    """An admin that 1.0 limited to its listed permissions; migrated as Normal with exactly these."""
    SHORT_KEY = "short-key"
    """A name or secret shorter than 1.0 requires."""


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """One message for the operator.

    Attributes:
        topic: The kind.
        file: The file.
        mark: The position in the file.
        account: The account's name, empty for the file as a whole.
        message: The fact, and what to do about it.
    """

    topic: NoteKind
    file: str
    mark: Mark
    account: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """A request that 1.0 and mqguard decide differently for an account.

    Attributes:
        account: Its name, empty for all clients.
        resource: The resource, as text; `any other topic` for those that the file does not list.
        actions: The actions.
        before: True if 1.0 allows it.
        after: True if mqguard allows it. Never True if `before` is False.
        why: The reason.
        file: The file of the account.
        mark: The responsible line.
    """

    account: str
    resource: str
    actions: tuple[Action, ...]
    before: bool
    after: bool
    why: str
    file: str
    mark: Mark
