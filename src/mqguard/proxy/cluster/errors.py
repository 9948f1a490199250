"""Errors of the cluster behind the guard."""

from mqguard.net.errors import LinkError


class ClusterUnavailable(LinkError):
    """No name server or broker has given a usable answer; the message says why."""
