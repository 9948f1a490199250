"""Which of several matching entries speaks: the one rule, in one place.

First difference wins: a named type before `*`; LITERAL before PREFIXED before ANY; a longer prefix before a shorter
one; Deny before Allow. Entries that are equal in all of these say the same.
"""

from mqguard.auth.policy import Decision, Entry
from mqguard.auth.resource import Pattern, ResourceType

_PATTERNS = {Pattern.LITERAL: 0, Pattern.PREFIXED: 1, Pattern.ANY: 2}

Rank = tuple[bool, int, int, bool]
"""Type is `*`, pattern, negative prefix length, is Allow. The smallest speaks."""


def rank(entry: Entry) -> Rank:
    """The place of an entry among those that match the same request; the smallest decides."""
    resource = entry.resource
    return (
        resource.type is ResourceType.ANY,
        _PATTERNS[resource.pattern],
        -len(resource.name) if resource.pattern is Pattern.PREFIXED else 0,
        entry.decision is Decision.ALLOW,
    )
