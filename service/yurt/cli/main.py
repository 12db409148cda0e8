"""The command `yurt`: its table of commands, and how it ends."""

import os
import sys
from collections.abc import Sequence

import click

from yurt import __version__
from yurt.cli.failures import CommandError, ExitCode, ReaderGone
from yurt.cli.lazy import LazyGroup

COMMANDS = {
    "init": ("yurt.cli.init:init", "Write a small app to begin with."),
    "deploy": ("yurt.cli.deploy:deploy", "Register the functions of a folder or a file."),
    "dev": ("yurt.cli.dev:dev", "Redeploy a folder or a file on every save."),
    "call": ("yurt.cli.call:call", "Call a function and print its result."),
    "spawn": ("yurt.cli.call:spawn", "Begin a call and print its id."),
    "map": ("yurt.cli.map:map_", "Call a function with every line of a file, and print the results."),
    "get": ("yurt.cli.call:get", "Print the result of a call."),
    "cancel": ("yurt.cli.call:cancel", "Cancel a call."),
    "redrive": ("yurt.cli.redrive:redrive", "Repeat a failed call, or those of a function."),
    "logs": ("yurt.cli.logs:logs", "Print what a function, a call or a container wrote."),
    "apps": ("yurt.cli.apps:apps", "List apps, newest first."),
    "functions": ("yurt.cli.apps:functions", "List the functions of an app, or of all live apps."),
    "containers": ("yurt.cli.apps:containers", "List containers, newest first."),
    "capacity": ("yurt.cli.capacity:capacity", "Show what GPUs there are, and who has them."),
    "schedules": ("yurt.cli.schedules:schedules", "List schedules, with their next and last calls."),
    "schedule": ("yurt.cli.schedules:schedule", "Pause, resume or run a schedule."),
    "environments": ("yurt.cli.apps:environments", "List environments."),
    "callback-secrets": ("yurt.cli.callbacks:callback_secrets", "Print what callbacks are signed with."),
    "stop": ("yurt.cli.apps:stop", "Stop an app and its containers."),
    "token": ("yurt.cli.token:token", "Make, list and revoke tokens."),
    "secret": ("yurt.cli.secret:secret", "Set, list and delete secrets: variables for functions."),
    "login": ("yurt.cli.login:login", "Remember a server and a token for it."),
    "store": ("yurt.cli.store:store", "Back the server's data up, or move it to PostgreSQL."),
    "serve": ("yurt.cli.serve:serve", "Run the server."),
    "doctor": ("yurt.cli.doctor:doctor", "Look over the cluster that a server would use, and say what to do."),
}

EPILOG = """\b
Exit codes: 0 ok, 1 the call failed, 2 wrong usage, 3 not found, 4 credentials,
5 server unreachable, 6 still pending.

The server is found by --url and --token, then YURT_URL and YURT_TOKEN, then what
`yurt login` stored, then on this machine.
"""


@click.group(cls=LazyGroup, table=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="yurt", message="%(prog)s %(version)s")
def cli() -> None:
    """Run Python functions on your own machines."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        arguments: without the program's name; None takes them from the process.
    """
    try:
        status = cli.main(arguments, prog_name="yurt", standalone_mode=False)
        sys.stdout.flush()
    except CommandError as error:
        error.show()
        return error.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        # Python flushes stdout once more when it ends; there must be something that takes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return status if isinstance(status, int) else ExitCode.OK


def main() -> None:
    """The entry point of the installed command."""
    sys.exit(run())
