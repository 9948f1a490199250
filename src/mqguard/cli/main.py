"""The `mqguard` command: what it can do, and how it ends.

Command modules import click and `cli` alone at their top; what a command needs it imports when it runs, so that help,
completion and errors come at once.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from mqguard.cli import (
    acl,
    broker,
    completion,
    config,
    demo,
    migrate,
    policy,
    policy_check,
    policy_code,
    policy_explain,
    policy_replay,
    receive,
    send,
    standalone,
    topic,
    user,
    version,
    why,
)
from mqguard.cli.exits import Exit, report

COMMANDS: tuple[click.Command, ...] = (
    standalone.standalone,
    demo.demo,
    send.send,
    receive.receive,
    user.user,
    acl.acl,
    topic.topic,
    broker.broker,
    policy_explain.explain,
    why.why,
    policy.can,
    policy.who_can,
    policy_check.lint,
    policy_check.diff,
    policy_check.test,
    policy_replay.replay,
    policy_code.export,
    policy_code.plan,
    policy_code.apply,
    migrate.migrate,
    config.config,
    version.version,
    completion.completion,
)
"""Every command, in the order in which help lists them. A new one is one more line here."""


class InOrder(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        del ctx
        return list(self.commands)


@click.group(
    cls=InOrder,
    commands=list(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, 3 cannot reach the server, "
    "4 nothing there, 130 interrupted.",
)
@click.version_option(message="%(version)s", package_name="mqguard", version=version.installed())
def mqguard() -> None:
    """Access control for RocketMQ: who may do what to which topic, group or cluster, from where."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = mqguard.main(args=words, prog_name="mqguard", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has had enough, as `head` does; nothing more can be said, not even at exit.
        sys.stdout = None
        sys.exit(Exit.FAILED)
    except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - the outermost stage says every error in one line
        sys.exit(report(exc, as_json="--json" in words))
    sys.exit(code if isinstance(code, int) else Exit.DONE)
