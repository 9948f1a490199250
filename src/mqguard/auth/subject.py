"""Who acts. An open set: users now; groups, services and certificates can follow."""

import dataclasses
import enum

from mqguard.auth.errors import PolicyInvalid


class SubjectType(enum.Enum):
    """A kind of subject."""

    USER = "User"


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

        Raises:
            PolicyInvalid: Another kind, or no name.
        """
        kind, colon, name = key.partition(":")
        if not colon or not kind.isascii() or kind.lower() != "user" or not name.strip():
            raise PolicyInvalid(f"`{key}` is no subject: write `User:name`")
        return cls(name)

    @property
    def key(self) -> str:
        """The subject as policies write it."""
        return f"{self.type.value}:{self.name}"
