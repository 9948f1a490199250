"""The precedence of matching entries: the only rule, in one place.

The first difference decides: a named type before `*`; LITERAL before PREFIXED before ANY; a longer prefix before a
shorter one; Deny before Allow. Entries that are equal in all of these have the same effect.
"""

from mqguard.auth.policy import Decision, Entry
from mqguard.auth.resource import Pattern, ResourceType

_PATTERNS = (Pattern.LITERAL, Pattern.PREFIXED, Pattern.ANY)
_PLACES = {pattern: place for place, pattern in enumerate(_PATTERNS)}

Rank = tuple[bool, int, int, bool]
"""Type is `*`, pattern, negative length, is Allow. The smallest rank decides."""


def rank(entry: Entry) -> Rank:
    """Return the precedence of an entry among those that match the same request; the smallest decides."""
    resource = entry.resource
    return (
        resource.type is ResourceType.ANY,
        _PLACES[resource.pattern],
        # Literals that match the same request have the same length.
        -len(resource.name),
        entry.decision is Decision.ALLOW,
    )
