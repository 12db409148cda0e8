"""`yurt login`."""

import asyncio
import sys

import click

from yurt.cli import output
from yurt.cli.client import Client
from yurt.cli.command import json_option
from yurt.cli.failures import CommandError
from yurt.cli.target import Login, Target, clean_url, write_login


@click.command()
@click.argument("url")
@json_option
def login(url: str, as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Remember a server and a token for it.

    The token is asked for, or read from stdin where that is no terminal: yurt login URL < token-file
    """
    address = clean_url(url)
    if sys.stdin.isatty():
        secret = click.prompt(f"Token for {address}", hide_input=True, err=True).strip()
    else:
        secret = sys.stdin.read().strip()
    asyncio.run(_try(Target(address, secret)))
    try:
        path = write_login(Login(address, secret))
    except OSError as error:
        raise CommandError(
            f"{error.filename} cannot be written: {error.strerror}", "Set YURT_URL and YURT_TOKEN instead."
        ) from error
    if as_json:
        output.print_json({"url": address, "file": str(path)})
    else:
        output.notice(f"logged in to {address}; stored in {path}")


async def _try(target: Target) -> None:
    """Use the token once, so that a wrong one is never stored."""
    async with Client(target) as client:
        await client.get("/apps", limit="1")
