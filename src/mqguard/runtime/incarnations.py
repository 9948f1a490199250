"""Incarnations of users that are stored."""

import secrets


def new_incarnation() -> str:
    """Return a random text that no user has had: one of 64 bits, which a person can still type."""
    return secrets.token_hex(8)
