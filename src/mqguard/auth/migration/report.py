"""What a migration has to say: by account and line, and where rights differ."""

import dataclasses
import enum

from mqguard.auth.action import Action
from mqguard.auth.documents.problems import Mark


class Topic(enum.StrEnum):
    """What a note is about, as a machine word."""

    SKIPPED_ACCOUNT = "skipped-account"
    """The account is not carried over at all."""
    EXISTING_USER = "existing-user"
    """There is such a user, which stays as it is."""
    REPEATED_ACCOUNT = "repeated-account"
    """Another account of that name came first."""
    WHITE_LIST = "white-list"
    """Addresses that 1.0 asked for nothing; there is no such thing here."""
    UNKNOWN_PERMISSION = "unknown-permission"
    """A permission that 1.0 does not know and takes for DENY, and so it stays."""
    SKIPPED_ITEM = "skipped-item"
    """An item that had no effect in 1.0, or cannot be said here."""
    REPLACED_ITEM = "replaced-item"
    """A later item for the same resource took its place in 1.0, and so it stays."""
    ADMIN_WITH_PERMISSIONS = "admin-with-permissions"
    """An admin that 1.0 held to its listed permissions; made Normal with exactly these."""
    SHORT_KEY = "short-key"
    """A name or secret shorter than 1.0 demands."""


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """One thing that a person should know.

    Attributes:
        topic: What about.
        file: The file.
        mark: Where in it.
        account: The account's name, empty for the file as a whole.
        message: What, and what to do about it.
    """

    topic: Topic
    file: str
    mark: Mark
    account: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Something that 1.0 and mqguard decide differently for an account.

    Attributes:
        account: Its name, empty for everybody.
        resource: What it is done to, as text; `any other topic` for those the file does not list.
        actions: What is done.
        before: Whether 1.0 allows it.
        after: Whether mqguard allows it. Never True where `before` is False.
        why: The reason.
        file: The file that the account stands in.
        mark: The line that says so.
    """

    account: str
    resource: str
    actions: tuple[Action, ...]
    before: bool
    after: bool
    why: str
    file: str
    mark: Mark
