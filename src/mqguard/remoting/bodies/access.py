"""Bodies of users and ACLs (3001 to 3010), read strictly: a misspelt member must not be ignored."""

from mqguard.remoting.bodies.codec import ExactBody


class UserInfo(ExactBody, rename={
    "username": "username", "password": "password", "user_type": "userType", "user_status": "userStatus",
}):  # fmt: skip
    """One user, or the changes to it.

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
    """One user with the number of its secrets; an extension of mqguard, sent only on request.

    Attributes:
        live_secrets: Number of currently accepted secrets.
        old_secret_until: Milliseconds since the epoch until which the replaced secret is accepted.
        incarnation: Distinguishes this user from others of its name.
        confirmed: True if `mqguard apply` has created the user, or an operator has confirmed it.
    """

    live_secrets: int | None = None
    old_secret_until: int | None = None
    incarnation: str | None = None
    confirmed: bool | None = None


class EntryInfo(ExactBody):
    """One entry of a policy; all texts are in the notation of administrators.

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
    """Several changes of users and policies, applied together or not at all; an extension of mqguard.

    Attributes:
        put_users: Users to create or change; absent members of an existing user stay.
        put_acls: All policies of a subject, replacing its current ones.
        delete_acls: Subjects whose policies are deleted.
        delete_users: Users that are deleted together with their policies.
        incarnations: The incarnations of the intended users, by name.
        confirmed: The users among these that the sender confirms.
    """

    put_users: list[UserInfo] | None = None
    put_acls: list[AclInfo] | None = None
    delete_acls: list[str] | None = None
    delete_users: list[str] | None = None
    incarnations: dict[str, str] | None = None
    confirmed: list[str] | None = None
