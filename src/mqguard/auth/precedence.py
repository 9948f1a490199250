"""Which of several matching entries speaks: the one rule, in one place.

First difference wins: a named type before `*`; LITERAL before PREFIXED before ANY; a longer prefix before a shorter
one; Deny before Allow. Entries that are equal in all of these say the same.
"""

from mqguard.auth.policy import Decision, Entry
from mqguard.auth.resource import Pattern, ResourceType

_PATTERNS = (Pattern.LITERAL, Pattern.PREFIXED, Pattern.ANY)
_PLACES = {pattern: place for place, pattern in enumerate(_PATTERNS)}

Rank = tuple[bool, int, int, bool]
"""Type is `*`, pattern, negative length, is Allow. The smallest speaks."""


def rank(entry: Entry) -> Rank:
    """The place of an entry among those that match the same request; the smallest decides."""
    resource = entry.resource
    return (
        resource.type is ResourceType.ANY,
        _PLACES[resource.pattern],
        # Literals that match one request are equally long.
        -len(resource.name),
        entry.decision is Decision.ALLOW,
    )
