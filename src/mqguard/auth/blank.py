"""Blank texts, by Java's definition, which every peer of the protocol uses."""

# Character.isWhitespace of Java 8 to 21: without the no-break spaces and U+0085, unlike str.isspace().
_BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a"
    "\u2028\u2029\u205f\u3000"
)


def is_blank(text: str | None) -> bool:
    """True if the text is absent, empty or only white space."""
    return not text or not text.strip(_BLANKS)
