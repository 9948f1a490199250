#!/usr/bin/env python3
"""Draw the pictures in `docs/pictures` as SVG. A test fails if one of them is out of date.

Run it in the project's environment: `.venv/bin/python tools/draw_pictures.py`. A picture is a grid of boxes and arrows.
Its colours follow the light or dark mode of the reader.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

DIRECTORY = Path(__file__).resolve().parents[1] / "docs" / "pictures"
MARGIN, GAP_X, GAP_Y, LINE, PADDING = 16, 56, 36, 20, 12

STYLE = """\
text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 14px }
text { fill: #1f2328 } .first { font-weight: 600 } .label { font-size: 13px; fill: #57606a }
.page { fill: #ffffff } .step { fill: #f6f8fa; stroke: #57606a }
.note { fill: none; stroke: #57606a; stroke-dasharray: 4 3 }
.allow { fill: #dafbe1; stroke: #1a7f37 } .deny { fill: #ffebe9; stroke: #cf222e }
.data { fill: #ddf4ff; stroke: #0969da }
.arrow { fill: none; stroke: #57606a; stroke-width: 1.5 } .head { fill: #57606a }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .label { fill: #9da7b1 }
.page { fill: #0d1117 } .step { fill: #161b22; stroke: #8b949e } .note { stroke: #8b949e }
.allow { fill: #12261e; stroke: #3fb950 } .deny { fill: #2c1618; stroke: #f85149 }
.data { fill: #0c2d4a; stroke: #58a6ff }
.arrow { stroke: #8b949e } .head { fill: #8b949e }
}"""

NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
ALTERNATIVE = 'role="img" aria-labelledby="title text"'
HEAD = """\
<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse"
 orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker>"""


class Box(NamedTuple):
    """Box in a cell of the grid.

    Attributes:
        column: The first column, from 0.
        row: The row, from 0.
        lines: The text; its first line is bold.
        kind: `step`, `allow`, `deny`, `data` or `note`.
        span: Number of columns.
    """

    column: int
    row: int
    lines: tuple[str, ...]
    kind: str = "step"
    span: int = 1


class Arrow(NamedTuple):
    """Arrow from one box to another, by their columns and rows: down, or to the right."""

    start: tuple[int, int]
    end: tuple[int, int]
    label: str = ""


class Picture(NamedTuple):
    """Picture with a text alternative.

    Attributes:
        title: Short title.
        text: The content in words, for readers who do not see the picture.
        width: Width of a column in pixels.
        boxes: The boxes.
        arrows: The arrows.
    """

    title: str
    text: str
    width: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...] = ()


class Area(NamedTuple):
    """Rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int


def areas(picture: Picture) -> dict[tuple[int, int], Area]:
    """Return the rectangle of each box, by column and row."""
    rows = 1 + max(box.row for box in picture.boxes)
    heights = [
        max(LINE * len(box.lines) for box in picture.boxes if box.row == row) + 2 * PADDING for row in range(rows)
    ]
    tops = [MARGIN + sum(heights[:row]) + GAP_Y * row for row in range(rows)]
    return {
        (box.column, box.row): Area(
            MARGIN + box.column * (picture.width + GAP_X),
            tops[box.row],
            box.span * picture.width + (box.span - 1) * GAP_X,
            heights[box.row],
        )
        for box in picture.boxes
    }


def size(picture: Picture) -> tuple[int, int]:
    """Return the width and the height of a picture."""
    found = areas(picture).values()
    return max(one.x + one.width for one in found) + MARGIN, max(one.y + one.height for one in found) + MARGIN


def draw(picture: Picture) -> str:
    """Return a picture as SVG."""
    width, height = size(picture)
    lines = [
        f'<svg {NAMESPACE} viewBox="0 0 {width} {height}" width="{width}" height="{height}" {ALTERNATIVE}>',
        f'<title id="title">{escape(picture.title)}</title>',
        f'<desc id="text">{escape(picture.text)}</desc>',
        f"<style>\n{STYLE}\n</style>",
        HEAD,
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    places = areas(picture)
    for box in picture.boxes:
        lines += _box(box, places[box.column, box.row])
    for arrow in picture.arrows:
        lines += _arrow(arrow, places[arrow.start], places[arrow.end])
    return "\n".join([*lines, "</svg>"]) + "\n"


def _box(box: Box, area: Area) -> Iterator[str]:
    yield f'<rect class="{box.kind}" x="{area.x}" y="{area.y}" width="{area.width}" height="{area.height}" rx="6"/>'
    middle = area.x + area.width // 2
    top = area.y + (area.height - LINE * len(box.lines)) // 2 + 15
    for number, line in enumerate(box.lines):
        first = ' class="first"' if number == 0 else ""
        yield f'<text{first} x="{middle}" y="{top + LINE * number}" text-anchor="middle">{escape(line)}</text>'


def _arrow(arrow: Arrow, start: Area, end: Area) -> Iterator[str]:
    if start.y == end.y:
        x, y = start.x + start.width, start.y + start.height // 2
        path, label = f"M{x} {y}H{end.x}", (x + (end.x - x) // 2, y - 6, "middle")
    else:
        x, y, to_x = start.x + start.width // 2, start.y + start.height, end.x + end.width // 2
        path = f"M{x} {y}V{end.y}"
        if x != to_x:
            path = f"M{x} {y}V{end.y - GAP_Y // 2}H{to_x}V{end.y}"
        label = (x + 8, y + 16, "start")
    yield f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'
    if arrow.label:
        at_x, at_y, anchor = label
        yield f'<text class="label" x="{at_x}" y="{at_y}" text-anchor="{anchor}">{escape(arrow.label)}</text>'


def _down(*rows: int) -> tuple[Arrow, ...]:
    return tuple(Arrow((0, row), (0, row + 1)) for row in rows)


REQUEST = Picture(
    "The path of a request",
    "A client sends a signed request. The server reads the frame within its limits, authenticates the user, "
    "finds the required permissions, and decides each of them by the policies of the user. A refusal at any of "
    "these steps is answered with an error and a decision id. The handler serves an allowed request, and asks "
    "the guard about every further object that it reaches. The change is stored, and then the answer is sent. "
    "Each decision is written to the audit log.",
    345,
    (
        Box(0, 0, ("Client", "signed request, remoting protocol"), "data"),
        Box(0, 1, ("Read the frame", "limits on size, time and memory")),
        Box(1, 1, ("Connection closed, or code 29", "the log names the limit"), "deny"),
        Box(0, 2, ("Authenticate", "signature over all fields and the body")),
        Box(1, 2, ("Code 16: wrong secret, unknown user", "the message has a decision id"), "deny"),
        Box(0, 3, ("Find the required permissions", "one row for each request code")),
        Box(1, 3, ("Code 16: no row, or a field is missing", "the message has a decision id"), "deny"),
        Box(0, 4, ("Decide each permission", "policies of the user")),
        Box(1, 4, ("Code 16: not allowed by a policy", "mqguard why explains the decision id"), "deny"),
        Box(0, 5, ("Serve the request", "the handler asks about further objects")),
        Box(1, 5, ("Code 16: an object is not allowed", "the message has a decision id"), "deny"),
        Box(0, 6, ("Store, then answer", "one commit for many requests"), "allow"),
        Box(1, 6, ("Audit log", "a record of each decision"), "note"),
    ),
    (
        *_down(0, 1, 2, 3, 4, 5),
        *(Arrow((0, row), (1, row), "no") for row in (1, 2, 3, 4, 5)),
    ),
)
PRECEDENCE = Picture(
    "How policies decide",
    "An unknown or disabled user is denied, and a Super user is allowed. For any other user: if at least one "
    "Custom entry covers the resource, only Custom entries count, whatever their actions and sources; "
    "otherwise the Default entries count. Of these, the entries that match the action and the address are "
    "compared. If none matches, the request is denied. A named type comes before a star; a literal name before "
    "a prefix, and a prefix before all names; a longer prefix before a shorter one; Deny before Allow. The "
    "first entry decides.",
    400,
    (
        Box(0, 0, ("Is the user known and enabled?",)),
        Box(1, 0, ("Deny",), "deny"),
        Box(0, 1, ("Is it a Super user?",)),
        Box(1, 1, ("Allow",), "allow"),
        Box(0, 2, ("Does a Custom entry cover the resource?", "with any action and from any source")),
        Box(1, 2, ("Use the Default entries",), "data"),
        Box(0, 3, ("Use only the Custom entries",), "data"),
        Box(0, 4, ("Keep entries that match", "the resource, the action and the address")),
        Box(1, 4, ("No entry is left: Deny", "reason: no-match"), "deny"),
        Box(
            0,
            5,
            (
                "Put the most specific entry first",
                "1. a named type before *",
                "2. literal name, then prefix, then all names",
                "3. a longer prefix before a shorter one",
                "4. Deny before Allow",
            ),
        ),
        Box(0, 6, ("The first entry decides: Allow or Deny",), "allow"),
    ),
    (
        Arrow((0, 0), (0, 1), "yes"),
        Arrow((0, 0), (1, 0), "no"),
        Arrow((0, 1), (0, 2), "no"),
        Arrow((0, 1), (1, 1), "yes"),
        Arrow((0, 2), (0, 3), "yes"),
        Arrow((0, 2), (1, 2), "no"),
        Arrow((0, 3), (0, 4)),
        Arrow((1, 2), (0, 4)),
        Arrow((0, 4), (1, 4), "none"),
        Arrow((0, 4), (0, 5)),
        Arrow((0, 5), (0, 6)),
    ),
)
SHADOW = Picture(
    "From shadow mode to enforcement",
    "First write policies. Then start the server in shadow mode: policy denials of authenticated users are "
    "allowed and recorded, and wrong secrets are refused. Look at mqguard denials, and add the missing "
    "permissions, until no new denials appear. Then start the server with enforce: the same requests are "
    "denied. If something is missing, mqguard why explains the denial.",
    250,
    (
        Box(0, 0, ("1. Prepare",), "data"),
        Box(1, 0, ("2. Shadow",), "data"),
        Box(2, 0, ("3. Enforce",), "data"),
        Box(0, 1, ("Write users and policies", "mqguard user create", "mqguard migrate")),
        Box(1, 1, ("Read what would be denied", "mqguard denials", "add permissions, look again")),
        Box(2, 1, ("Read what is denied", "mqguard denials", "mqguard why ID")),
        Box(0, 2, ("Test the policies", "mqguard test, mqguard lint"), "note"),
        Box(1, 2, ("Policy denial: allowed", "recorded as shadow-deny"), "allow"),
        Box(2, 2, ("Policy denial: denied", "code 16 with a decision id"), "deny"),
        Box(1, 3, ("Wrong secret, unknown or disabled user: refused in both modes",), "deny", 2),
    ),
    (Arrow((0, 0), (1, 0)), Arrow((1, 0), (2, 0)), Arrow((0, 1), (0, 2))),
)
ROTATION = Picture(
    "Rotation of a secret",
    "Before the rotation only the old secret is accepted. From mqguard user rotate on, the new secret is "
    "accepted, and the old one stays accepted for 24 hours or the time of --keep. Clients change over in this "
    "time, one after the other. Then only the new secret is accepted.",
    240,
    (
        Box(0, 0, ("Before",), "data"),
        Box(1, 0, ("mqguard user rotate",), "data"),
        Box(2, 0, ("Clients change over",), "data"),
        Box(3, 0, ("After 24 h, or --keep",), "data"),
        Box(0, 1, ("The old secret is accepted",), "allow", 3),
        Box(3, 1, ("The old secret is refused",), "deny"),
        Box(0, 2, ("There is no new secret",), "note"),
        Box(1, 2, ("The new secret is accepted",), "allow", 3),
    ),
    (Arrow((0, 0), (1, 0)), Arrow((1, 0), (2, 0)), Arrow((2, 0), (3, 0))),
)
MIGRATION = Picture(
    "Migration from ACL 1.0",
    "mqguard migrate reads the files of ACL 1.0. Without further options it changes nothing: it reports the "
    "users and policies to create, the settings that cannot be converted, and the requests that will be "
    "decided differently. Then --apply creates users and policies at the server, or --out writes a policy file "
    "and one file for each secret. Start in shadow mode, look at mqguard denials, and then enforce.",
    360,
    (
        Box(0, 0, ("Files of ACL 1.0", "conf/plain_acl.yml, conf/acl"), "data"),
        Box(0, 1, ("mqguard migrate --home DIR", "a dry run: nothing changes")),
        Box(1, 1, ("Report", "notes, and requests decided differently"), "note"),
        Box(0, 2, ("mqguard migrate --home DIR --apply", "users and policies at the server")),
        Box(1, 2, ("mqguard migrate --home DIR --out NEW", "a policy file, for plan and apply")),
        Box(0, 3, ("Start in shadow mode", "authorizationEnforcement = shadow"), "data"),
        Box(1, 3, ("mqguard denials", "what would be denied"), "note"),
        Box(0, 4, ("Enforce", "no new denials appear"), "allow"),
    ),
    (
        *_down(0, 1, 2, 3),
        Arrow((0, 1), (1, 1)),
        Arrow((1, 1), (1, 2)),
        Arrow((1, 2), (0, 3)),
        Arrow((0, 3), (1, 3)),
    ),
)
PICTURES = {
    "request": REQUEST,
    "precedence": PRECEDENCE,
    "shadow": SHADOW,
    "rotation": ROTATION,
    "migration": MIGRATION,
}
"""Every picture, by the name of its file."""


def main() -> int:
    """Write the files that are out of date, and print their names."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        path, text = DIRECTORY / f"{name}.svg", draw(picture)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote docs/pictures/{name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
