"""What can go wrong with sockets, for those who use them."""

from mqguard.errors import ErrorKind, MqguardError


class NetSettingsInvalid(MqguardError):
    """A setting of the network that is none; says which and what would be right."""

    kind = ErrorKind.INVALID_INPUT


class LinkError(MqguardError):
    """A connection that we use as a client cannot go on; a subclass says why."""

    kind = ErrorKind.UNREACHABLE


class LinkRefused(LinkError):
    """The address could not be reached, or the TLS handshake failed."""


class LinkClosed(LinkError):
    """The peer has closed the connection, or sent what is no frame."""


class LinkTimeout(LinkError):
    """The peer did not answer in time."""
