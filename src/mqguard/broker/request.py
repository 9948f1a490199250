"""A request as handlers see it: let in by the guard, with the connection that it came over."""

from collections.abc import Callable

import msgspec

from mqguard.guard.context import Access
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.link import Link


class Request(msgspec.Struct, gc=False):
    """One admitted request.

    Attributes:
        command: What was sent.
        link: Where the answer goes.
        access: Who sent it, and the way to ask about resources that turn out to be touched.
    """

    command: Command
    link: Link
    access: Access


Handler = Callable[[Request], Reply | None]
"""Serves one request code. None: the answer comes later (the request is parked), or none is wanted."""
