"""Who acts. An open set: users now; groups, services and certificates can follow."""

import dataclasses
import enum

from mqguard.auth.errors import PolicyInvalid


class SubjectType(enum.Enum):
    """A kind of subject."""

    USER = "User"

    @classmethod
    def parse(cls, text: str) -> "SubjectType":
        """Read `User`, in any letter case.

        Raises:
            PolicyInvalid: It is another word.
        """
        for kind in cls:
            if text.isascii() and text.lower() == kind.value.lower():
                return kind
        raise PolicyInvalid(f"unknown subject type `{text}`: use User")


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """Whose policy it is.

    Attributes:
        name: The user's name (its access key).
        type: The kind of subject.
    """

    name: str
    type: SubjectType = SubjectType.USER

    @classmethod
    def parse(cls, key: str) -> "Subject":
        """Read `User:name`; the name may hold further colons.

        A key without a name is read as one, as Apache does: there is no such user, so nothing can be granted to it.

        Raises:
            PolicyInvalid: Another kind of subject.
        """
        kind, _, name = key.partition(":")
        if not kind.isascii() or kind.lower() != SubjectType.USER.value.lower():
            raise PolicyInvalid(f"`{key}` is no subject: write `User:name`")
        return cls(name)

    @property
    def key(self) -> str:
        """The subject as policies write it."""
        return f"{self.type.value}:{self.name}"
