"""Initial users named by the configuration: created as Super at the first start, never changed afterwards."""

import msgspec

from mqguard.auth.blank import is_blank
from mqguard.auth.errors import MetadataRejected


class InitialUser(msgspec.Struct, frozen=True):
    """A Super user that is created unless a user of that name exists.

    Attributes:
        name: The access key.
        secret: The secret key. A repr never shows it.
    """

    name: str
    secret: str

    def __repr__(self) -> str:
        return f"InitialUser(name={self.name!r})"


class _UserForm(msgspec.Struct, forbid_unknown_fields=True):
    username: str | None = None
    password: str | None = None
    userType: str | None = None  # noqa: N815 - the configuration's name


class _CredentialsForm(msgspec.Struct, forbid_unknown_fields=True):
    accessKey: str | None = None  # noqa: N815
    secretKey: str | None = None  # noqa: N815
    securityToken: str | None = None  # noqa: N815


def initial_user(text: str) -> InitialUser:
    """Parse the value of `initAuthenticationUser`: `{"username": "…", "password": "…"}`.

    Raises:
        MetadataRejected: The text has another form, or a value is blank.
    """
    right = '`{"username": "…", "password": "…"}`'
    try:
        form = msgspec.json.decode(text, type=_UserForm)
    except (msgspec.MsgspecError, UnicodeError):
        raise MetadataRejected(f"`initAuthenticationUser` is not valid: write {right}") from None
    if form.userType is not None and form.userType.lower() != "super":
        raise MetadataRejected("the user of `initAuthenticationUser` is always Super: remove `userType`")
    return _initial("initAuthenticationUser", right, form.username, form.password)


def inner_user(text: str) -> InitialUser:
    """Parse the value of `innerClientAuthenticationCredentials`: `{"accessKey": "…", "secretKey": "…"}`.

    Raises:
        MetadataRejected: The text has another form, or a value is blank.
    """
    right = '`{"accessKey": "…", "secretKey": "…"}`'
    try:
        form = msgspec.json.decode(text, type=_CredentialsForm)
    except (msgspec.MsgspecError, UnicodeError):
        raise MetadataRejected(f"`innerClientAuthenticationCredentials` is not valid: write {right}") from None
    return _initial("innerClientAuthenticationCredentials", right, form.accessKey, form.secretKey)


def _initial(option: str, right: str, name: str | None, secret: str | None) -> InitialUser:
    if name is None or is_blank(name) or secret is None or is_blank(secret):
        raise MetadataRejected(f"`{option}` has no name or no secret: write {right}")
    return InitialUser(name, secret)
