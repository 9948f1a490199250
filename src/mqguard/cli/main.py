"""The `mqguard` command: its commands and its end.

Command modules import only click, `cli` and a few light modules at their top. A command imports the rest when it runs,
so that help, completion and errors come at once.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from mqguard import __version__
from mqguard.cli import (
    acl,
    backup,
    broker,
    brokers,
    consumer,
    context,
    decisions,
    diagnosis,
    installation,
    messages,
    migrate,
    namesrv,
    policy_as_code,
    policy_check,
    proxy,
    sealing_key,
    standalone,
    status,
    topic,
    user,
)
from mqguard.cli.output import Exit, report

COMMANDS: tuple[click.Command, ...] = (
    standalone.standalone,
    namesrv.namesrv,
    broker.broker,
    proxy.proxy,
    standalone.demo,
    messages.send,
    messages.receive,
    user.user,
    acl.acl,
    topic.topic,
    consumer.group,
    consumer.consumer,
    status.status,
    status.audit,
    brokers.brokers,
    context.context,
    decisions.explain,
    decisions.why,
    diagnosis.doctor,
    diagnosis.denials,
    decisions.can,
    decisions.who_can,
    policy_check.lint,
    policy_check.diff,
    policy_check.test,
    policy_check.replay,
    policy_as_code.export,
    policy_as_code.plan,
    policy_as_code.apply,
    migrate.migrate,
    backup.backup,
    sealing_key.sealing_key,
    installation.config,
    installation.version,
    installation.completion,
)
"""Every command, in the order of the help. To add a command, add one line."""


class InOrder(click.Group):
    """Group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return list(self.commands)


@click.group(
    cls=InOrder,
    commands=list(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""Exit codes: 0 done, 1 denied or failed, 2 invalid usage or configuration, 3 server not reachable,
    4 not found, 130 interrupted.

    Environment variables, besides those of options: MQGUARD_CONTEXTS (the file of contexts), MQGUARD_KNOWN_BROKERS
    (the file of pinned brokers), XDG_CONFIG_HOME (their directory), ROCKETMQ_HOME (a place of tools.yml),
    MQGUARD_SEALING_KEY (the key of stored secrets), MQGUARD_TRACEBACK (show the traceback of an unexpected error).
    A server also reads every key of broker.conf, such as MQGUARD_LISTEN_PORT for `listenPort`.""",
)
@click.version_option(message="%(version)s", package_name="mqguard", version=__version__)
def mqguard() -> None:
    """Access control for RocketMQ: allow or deny each user's actions on topics, groups and clusters."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = mqguard.main(args=words, prog_name="mqguard", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has closed the pipe, as `head` does; Python must not flush into it at exit either.
        sys.stdout = None
        sys.exit(Exit.FAILED)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - every error becomes one line and an exit code
        sys.exit(report(error, as_json="--json" in words))
    sys.exit(code if isinstance(code, int) else Exit.DONE)
