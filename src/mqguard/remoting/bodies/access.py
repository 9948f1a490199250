"""Bodies of users and ACLs (3001 to 3010). They are read to the letter: what is misspelt must not be overlooked."""

from mqguard.remoting.bodies.codec import ExactBody


class UserInfo(ExactBody, rename={
    "username": "username", "password": "password", "user_type": "userType", "user_status": "userStatus",
}):  # fmt: skip
    """One user, or what of it is to change.

    Attributes:
        user_type: `Super` or `Normal`.
        user_status: `enable` or `disable`.
    """

    username: str | None = None
    password: str | None = None
    user_type: str | None = None
    user_status: str | None = None

    def __repr__(self) -> str:
        return f"UserInfo(username={self.username!r}, user_type={self.user_type!r}, user_status={self.user_status!r})"


class UserSecretsInfo(UserInfo, rename={"live_secrets": "liveSecrets", "old_secret_until": "oldSecretUntil"}):
    """One user, and how many secrets it has; mqguard's own, answered to whoever asks for it.

    Attributes:
        live_secrets: How many secrets are accepted now.
        old_secret_until: Milliseconds since the epoch until which the one that is being replaced is accepted.
        incarnation: Tells this user from others of its name.
        confirmed: True if `mqguard apply` has created the user, or has been told that it is the right one.
    """

    live_secrets: int | None = None
    old_secret_until: int | None = None
    incarnation: str | None = None
    confirmed: bool | None = None


class EntryInfo(ExactBody):
    """One entry of a policy; all texts as administrators write them.

    Attributes:
        resource: Such as `Topic:orders`.
        actions: Such as `Pub`.
        source_ips: Addresses and ranges; None and empty are anywhere.
        decision: `Allow` or `Deny`.
    """

    resource: str | None = None
    actions: list[str] | None = None
    source_ips: list[str] | None = None
    decision: str | None = None


class PolicyInfo(ExactBody):
    """The entries of one type, `Custom` (also when absent) or `Default`."""

    policy_type: str | None = None
    entries: list[EntryInfo] | None = None


class AclInfo(ExactBody):
    """The policies of one subject, such as `User:alice`."""

    subject: str | None = None
    policies: list[PolicyInfo] | None = None


class ChangesInfo(ExactBody):
    """Several changes of users and policies that are made together or not at all; mqguard's own.

    Attributes:
        put_users: Users to make or to change; what is not said of one that exists stays.
        put_acls: All policies of a subject, in place of those it has.
        delete_acls: Subjects whose policies go.
        delete_users: Users that go, and their policies with them.
        incarnations: The incarnations that the changes are meant for, by user.
        confirmed: Users of these that the sender knows to be the right ones.
    """

    put_users: list[UserInfo] | None = None
    put_acls: list[AclInfo] | None = None
    delete_acls: list[str] | None = None
    delete_users: list[str] | None = None
    incarnations: dict[str, str] | None = None
    confirmed: list[str] | None = None
