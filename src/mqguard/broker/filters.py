"""Filter languages: tags are served, everything else is refused with Apache's words."""

from mqguard.dispatch.request import RequestRefused
from mqguard.remoting.codes import ResponseCode

MAX_EXPRESSION = 16 * 1024
"""Longest expression: it is hashed character by character, and remembered as long as its consumer lives."""


def require_tags(expression_type: str | None) -> None:
    """Let pass the tag language, which is also meant where none is named.

    Raises:
        RequestRefused: It is another language.
    """
    if not expression_type or expression_type == "TAG":
        return
    if expression_type == "SQL92":
        raise RequestRefused(
            ResponseCode.SYSTEM_ERROR, "The broker does not support consumer to filter message by SQL92"
        )
    raise RequestRefused(
        ResponseCode.SUBSCRIPTION_PARSE_FAILED,
        f"parse the consumer's subscription failed: unknown type {expression_type}",
    )
