"""Users and policies as plain values, the input of analysis, documents and migration."""

import dataclasses
from collections.abc import Iterable, Mapping

from mqguard.auth.policy import Acl
from mqguard.auth.policy_index import Rights
from mqguard.auth.user import User


@dataclasses.dataclass(frozen=True, slots=True)
class AccessState:
    """A state of users and policies.

    Attributes:
        users: By name. Analysis does not require their secrets.
        acls: By the name of the subject, which need not be that of a user.
    """

    users: Mapping[str, User]
    acls: Mapping[str, Acl]

    @classmethod
    def of(cls, users: Iterable[User], acls: Iterable[Acl]) -> "AccessState":
        """Collect users and policies by name."""
        return cls({user.name: user for user in users}, {acl.subject.name: acl for acl in acls})

    @property
    def names(self) -> tuple[str, ...]:
        """Every user and every subject of a policy, sorted."""
        return tuple(sorted(self.users.keys() | self.acls.keys()))

    def rights(self, name: str) -> Rights | None:
        """Return the input of `decide` for that user, or None if no such user exists."""
        user = self.users.get(name)
        return None if user is None else Rights(user, self.acls.get(name))
