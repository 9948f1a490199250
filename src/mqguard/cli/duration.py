"""Lengths of time as people write them on a command line."""

import re

import click

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"([0-9]{1,9})([smhd])")


class Duration(click.ParamType[int]):
    """A length of time such as `90s`, `30m`, `24h` or `7d`, or `0`; in milliseconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read one.

        Raises:
            BadParameter: It is none.
        """
        if isinstance(value, int):
            return value
        text = str(value).strip().lower()
        if text == "0":
            return 0
        found = _FORM.fullmatch(text)
        if found is None:
            self.fail(f"`{value}` is no length of time: write such as 90s, 30m, 24h or 7d, or 0", param, ctx)
        return int(found[1]) * _UNITS_MS[found[2]]
