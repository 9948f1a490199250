"""Display of texts that peers have chosen."""


def visible(text: str) -> str:
    r"""Return the text with every invisible character escaped, including line ends: `a\nb`.

    Peers choose the names of topics and users. Printed unescaped, these could forge lines, reverse the text direction,
    or send commands to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
