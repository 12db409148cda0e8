"""What the commands that talk to a server share: their options, and a client that is open while they run."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import click

from yurt.cli.client import Client
from yurt.cli.target import find_target

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs.")

_CONNECTION = (
    click.option("--url", envvar="YURT_URL", metavar="URL", help="The server's address (YURT_URL)."),
    click.option("--token", envvar="YURT_TOKEN", metavar="TOKEN", help="Its token; YURT_TOKEN is more discreet."),
    click.option("-e", "--environment", envvar="YURT_ENVIRONMENT", metavar="NAME", help="Where names are looked up."),
)


def connected(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make the body of a command of an `async def` that takes an open client first.

    Adds `--url`, `--token`, `--environment` and `--json` (as `as_json`).
    """

    async def within(url: str | None, token: str | None, environment: str | None, options: dict[str, Any]) -> None:
        async with Client(find_target(url, token, environment)) as client:
            await body(client, **options)

    @functools.wraps(body)
    def command(*, url: str | None, token: str | None, environment: str | None, **options: Any) -> None:
        try:
            asyncio.run(within(url, token, environment, options))
        except asyncio.CancelledError:
            # Only a signal cancels a whole command.
            raise click.Abort from None

    decorated: Callable[..., None] = json_option(command)
    for option in reversed(_CONNECTION):
        decorated = option(decorated)
    return decorated
