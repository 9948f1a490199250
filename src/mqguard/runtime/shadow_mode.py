"""The settings of shadow mode, and the warning of a server that does not enforce its policies."""

from mqguard.config import access_options
from mqguard.config.loader import Configuration
from mqguard.config.option import Option
from mqguard.guard.enforcement_scopes import Scope, parse_scopes
from mqguard.guard.errors import GuardMisconfigured


def scopes(config: Configuration, option: Option[str]) -> tuple[Scope, ...]:
    """Return the scopes of an option.

    Raises:
        ConfigInvalid: One has another form.
    """
    try:
        return parse_scopes(config.get(option))
    except GuardMisconfigured as exc:
        raise config.refusal(option, str(exc)) from None


def shadow_warnings(config: Configuration) -> list[str]:
    """Return a warning that policies are not enforced, and for whom; none if all of them are."""
    get = config.get
    shadowed = get(access_options.AUTHORIZATION_SHADOW_FOR).strip()
    is_whole = get(access_options.AUTHORIZATION_ENFORCEMENT) == "shadow"
    if not get(access_options.AUTHORIZATION_ENABLED) or not (is_whole or shadowed):
        return []
    if get(access_options.AUTHORIZATION_SHADOW_ANONYMOUS):
        who = "every client is allowed nearly everything, with or without credentials"
    else:
        who = "every authenticated user is allowed everything"
    enforced = get(access_options.AUTHORIZATION_ENFORCE_FOR).strip()
    why = "authorizationEnforcement = shadow" if is_whole else f"authorizationShadowFor = {shadowed}"
    rest = f" (except for {enforced})" if enforced else ""
    warning = (
        f"POLICIES ARE NOT ENFORCED: with {why} {who}{rest}, and the audit log has the requests that would be denied, "
        "as shadow-deny"
    )
    return [warning]
