"""Settings of the HTTP listener."""

import ipaddress

from mqguard.config import management_options
from mqguard.config.loader import Configuration


def management_address(config: Configuration) -> str:
    """Return the address of the listener.

    Raises:
        ConfigInvalid: Other machines can reach it, and it has no credentials.
    """
    address = config.get(management_options.ADDRESS)
    if address == "localhost":
        return "127.0.0.1"
    is_on = config.get(management_options.PORT) is not None
    if is_on and not _is_loopback(address) and config.get(management_options.CREDENTIALS) is None:
        raise config.refusal(
            management_options.ADDRESS,
            f"other machines can reach `{address}`: set `{management_options.CREDENTIALS.name}`, or write `127.0.0.1`",
        )
    return address


def management_warnings(config: Configuration) -> list[str]:
    """Return a warning if other machines send credentials to the listener."""
    if config.get(management_options.PORT) is None or _is_loopback(management_address(config)):
        return []
    warning = (
        f"`{management_options.CREDENTIALS.name}` and the metrics cross the network unencrypted: let the HTTP listener "
        "listen on 127.0.0.1, and put a proxy with TLS in front of it"
    )
    return [warning]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
