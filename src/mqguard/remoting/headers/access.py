"""Ext fields of users and ACLs (3001 to 3010). Java requires none of them at this level, so all may be absent."""

from mqguard.remoting.headers.codec import Header


class UserHeader(Header):
    """3001 to 3004: one user."""

    username: str | None = None


class RotationHeader(UserHeader):
    """3002 that accepts the replaced secret for a while; an extension of mqguard.

    Attributes:
        keep_old_secret_ms: Duration in milliseconds from now.
    """

    keep_old_secret_ms: int | None = None


class UserFilterHeader(Header):
    """3005: users whose name contains a text."""

    filter: str | None = None


class UserSecretsHeader(UserHeader):
    """3004 that also requests the number of the user's secrets; an extension of mqguard.

    Attributes:
        mqguard_secrets: `1`.
    """

    mqguard_secrets: str | None = None


class UsersSecretsHeader(UserFilterHeader):
    """3005 that also requests the number of the users' secrets; an extension of mqguard.

    Attributes:
        mqguard_secrets: `1`.
    """

    mqguard_secrets: str | None = None


class SubjectHeader(Header):
    """3006, 3007 and 3009: one subject, such as `User:alice`."""

    subject: str | None = None


class DeleteAclHeader(Header):
    """3008: the entries of one resource."""

    subject: str | None = None
    policy_type: str | None = None
    resource: str | None = None


class AclFilterHeader(Header):
    """3010: ACLs whose subject and whose resources contain a text."""

    subject_filter: str | None = None
    resource_filter: str | None = None


class DecisionHeader(Header):
    """The explanation of one decision; an extension of mqguard."""

    decision_id: str | None = None


class ChangesHeader(Header):
    """3007 with several changes in its body; an extension of mqguard."""

    mqguard_changes: str | None = None
