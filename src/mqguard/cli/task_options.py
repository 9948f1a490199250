"""Options that give a user the permissions of a task, such as `--producer TOPIC`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mqguard.admin.task_rights import TASKS, Task
from mqguard.cli.completion import complete_groups, complete_topics

if TYPE_CHECKING:
    from mqguard.admin.policy_changes import TaskRequest
    from mqguard.auth.source import Source


def with_tasks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each task, and `--group`."""
    command = click.option(
        "-g",
        "--group",
        "groups",
        multiple=True,
        metavar="GROUP",
        shell_complete=complete_groups,
        help="The consumer group of a task; repeatable.",
    )(command)
    for task in reversed(TASKS):
        command = _option(task)(command)
    return command


def tasks_of(values: dict[str, Any], sources: "tuple[Source, ...]") -> "TaskRequest | None":
    """Return the tasks that the options name, None if they name neither a task nor a group.

    Args:
        values: Values of the options of `with_tasks`, and of others.
        sources: Sources of the permissions.
    """
    from mqguard.admin.policy_changes import TaskRequest

    named = {task.name: values[_variable(task)] for task in TASKS}
    topics = {name: () if value is True else tuple(value) for name, value in named.items() if value}
    groups = values["groups"]
    return TaskRequest(topics, groups, sources) if topics or groups else None


def _option(task: Task) -> Callable[[Callable[..., None]], Callable[..., None]]:
    if not task.needs_topic:
        return click.option(f"--{task.name}", _variable(task), is_flag=True, help=task.help)
    return click.option(
        f"--{task.name}",
        _variable(task),
        multiple=True,
        metavar="TOPIC",
        shell_complete=complete_topics,
        help=task.help,
    )


def _variable(task: Task) -> str:
    return "task_" + task.name.replace("-", "_")
