#!/usr/bin/env python3
"""Writes the pages under `docs/` that are made from code. A test fails when one of them is stale.

Run it in the project's environment: `.venv/bin/python tools/write_docs.py`.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from mqguard.admin.task_rights import BY_NAME, TASKS
from mqguard.cli.main import mqguard
from mqguard.config.loader import OPTIONS, SECTIONS
from mqguard.config.option import Option

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- made by tools/write_docs.py: do not edit -->\n"


def config_page() -> str:
    """`docs/config.md`: every option."""
    lines = [
        "# Configuration",
        MADE,
        (
            "`mqguard standalone --config broker.conf` reads a Java properties file, the `broker.conf` of an Apache "
            "broker. What is said later wins: defaults, the file, the environment, flags. `mqguard config --config "
            "broker.conf` shows what a configuration comes to and where each value was set."
        ),
        "",
        "- A malformed value stops the start with file, line, key and what would be right (exit code 2).",
        (
            "- A key that only Apache's broker knows is named once and has no effect. Any other unknown key is a "
            "warning that names the nearest known one."
        ),
        "- Every option has an environment variable: `listenPort` is `MQGUARD_LISTEN_PORT`.",
        "- A secret need not stand in the file: write `file:PATH` or `env:NAME` in its place.",
        "- Keys marked ★ are mqguard's own; all others are Apache's, with Apache's meaning.",
    ]
    for section, title in SECTIONS.items():
        lines += ["", f"## {title}", "", "| key | default | value | what it does |", "|---|---|---|---|"]
        lines += [_row(option) for option in OPTIONS if option.section == section]
    return "\n".join(lines) + "\n"


def _row(option: Option[object]) -> str:
    default = option.says_default or f"`{_value(option.default)}`"
    if option.apache_default:
        default += f" (Apache: {option.apache_default})"
    star = " ★" if option.ours else ""
    return f"| `{option.name}`{star} | {default} | {option.kind.label} | {option.help} |"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def cli_page() -> str:
    """`docs/cli.md`: every command."""
    lines = [
        "# Commands",
        MADE,
        (
            "Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, 3 cannot reach the server, "
            "4 nothing there, 130 interrupted. Errors are one line on standard error; with `--json` it is one JSON "
            'object, `{"error": "…", "exit": 1}`.'
        ),
    ]
    for context in _walk(mqguard, None):
        lines += ["", f"## {context.command_path}", "", "```", context.command.get_help(context), "```"]
    return "\n".join(lines) + "\n"


def rights_page() -> str:
    """`docs/rights-by-task.md`: the permissions that each task needs."""
    lines = [
        "# Rights by task",
        MADE,
        (
            "The permissions that clients and tools need for a task, and no more. `mqguard user create` and "
            "`mqguard acl add`, `set` and `create` take each task as an option, from the same list as this page."
        ),
        "",
        "```",
        "mqguard user create alice --producer orders",
        "mqguard user create bob --consumer orders --group billing",
        "mqguard acl add User:bob --consumer payments --group billing -i 10.0.0.0/8",
        "```",
        "",
        (
            "Options repeat and add up. `-i` limits the permissions to client addresses. After every change the "
            "command shows the permissions gained and lost, and warns of those that cannot work alone."
        ),
        "",
        (
            "A client that is denied has a decision id in its error message, and `mqguard why ID` explains it. "
            "[requirements.md](requirements.md) lists what every single request needs."
        ),
    ]
    for task in TASKS:
        topic = " TOPIC" if task.needs_topic else ""
        group = " --group GROUP" if task.needs_group else ""
        lines += ["", f"## {task.title}", "", f"`mqguard acl add User:NAME --{task.name}{topic}{group}`", ""]
        lines += ["| resource | actions |", "|---|---|"]
        lines += [f"| `{resource}` | {actions.replace(',', ', ')} |" for resource, actions in task.permissions]
        if task.notes:
            lines += ["", *(f"- {note}" for note in task.notes)]
    lines += ["", "## In a policy file", "", "```yaml", "version: 1", "users:", "  bob: {secret: {env: BOB_SECRET}}"]
    lines += ["policies:", "  User:bob:", "    custom:"]
    for resource, actions in BY_NAME["consumer"].filled(["orders"], ["billing"]):
        lines.append(f"      - {{resource: {resource}, actions: {actions}, decision: Allow}}")
    return "\n".join([*lines, "```"]) + "\n"


def _walk(command: click.Command, parent: click.Context | None) -> Iterator[click.Context]:
    context = click.Context(
        command,
        parent,
        info_name=command.name,
        max_content_width=100,
        terminal_width=100,
        help_option_names=["-h", "--help"],
    )
    yield context
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from _walk(child, context)


PAGES: dict[str, Callable[[], str]] = {
    "docs/config.md": config_page,
    "docs/cli.md": cli_page,
    "docs/rights-by-task.md": rights_page,
}
"""Every page that is made, and how."""


def main() -> int:
    """Write what is stale; say what was written."""
    for name, render in PAGES.items():
        path, text = ROOT / name, render()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
