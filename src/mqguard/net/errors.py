"""Errors of sockets and of their settings."""

from mqguard.errors import ErrorKind, MqguardError


class NetSettingsInvalid(MqguardError):
    """A setting of the network that is not valid; the message names it and the valid form."""

    kind = ErrorKind.INVALID_INPUT


class LinkError(MqguardError):
    """A client connection that cannot be used any more; the subclass says why."""

    kind = ErrorKind.UNREACHABLE


class LinkRefused(LinkError):
    """The address could not be reached, or the TLS handshake failed."""


class LinkClosed(LinkError):
    """The peer closed the connection, or sent bytes that are not a frame."""


class LinkTimeout(LinkError):
    """The peer did not answer in time."""


class LinkBusy(LinkError):
    """Too many requests or bytes wait for the peer. The request was not sent."""
