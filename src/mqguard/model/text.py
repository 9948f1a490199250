"""Texts that others have chosen, shown to people."""


def visible(text: str) -> str:
    r"""The text with every character that cannot be seen as an escape: ends of lines too, `a\nb`.

    Peers choose the names of topics and users. Printed as they are, they could forge lines, turn the direction of
    writing, or send commands to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
