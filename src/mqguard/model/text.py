"""Texts that peers have chosen: how they are displayed, and when they are blank."""


def visible(text: str) -> str:
    r"""Return the text with every invisible character escaped, including line ends: `a\nb`.

    Peers choose the names of topics and users. Printed unescaped, these could forge lines, reverse the text direction,
    or send commands to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


# Character.isWhitespace of Java 8 to 21: without the no-break spaces and U+0085, unlike str.isspace().
_BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a"
    "\u2028\u2029\u205f\u3000"
)


def is_blank(text: str | None) -> bool:
    """True if the text is absent, empty or only white space."""
    return not text or not text.strip(_BLANKS)
