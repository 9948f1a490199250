"""Codes that the operator excuses from a check."""


def codes_of(items: frozenset[str]) -> frozenset[int]:
    """The request codes among the items of a whitelist; compared as text, as Apache does, so `010` excuses nothing."""
    return frozenset(int(item) for item in items if item.isascii() and item.isdigit() and str(int(item)) == item)
