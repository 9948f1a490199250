"""Subjects of policies: users now; groups, services and certificates can follow."""

import dataclasses
import enum

from mqguard.auth.errors import PolicyInvalid


class SubjectType(enum.Enum):
    """A kind of subject."""

    USER = "User"

    @classmethod
    def parse(cls, text: str) -> "SubjectType":
        """Parse `User`, in any letter case.

        Raises:
            PolicyInvalid: The text is another word.
        """
        for kind in cls:
            if text.isascii() and text.lower() == kind.value.lower():
                return kind
        raise PolicyInvalid(f"unknown subject type `{text}`: write `User`")


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The owner of a policy.

    Attributes:
        name: The user's name (its access key).
        type: The kind of subject.
    """

    name: str
    type: SubjectType = SubjectType.USER

    @classmethod
    def parse(cls, key: str) -> "Subject":
        """Parse `User:name`; the name may contain further colons.

        A key without a name is accepted, as in Apache RocketMQ: no such user exists, so nothing can be granted to it.

        Raises:
            PolicyInvalid: The key has another kind of subject.
        """
        kind, _, name = key.partition(":")
        if not kind.isascii() or kind.lower() != SubjectType.USER.value.lower():
            raise PolicyInvalid(f"`{key}` is not a valid subject: write `User:name`")
        return cls(name)

    @property
    def key(self) -> str:
        """The subject in the notation of policies."""
        return f"{self.type.value}:{self.name}"
