"""`yurt logs`."""

from contextlib import aclosing
from typing import Any

import click

from yurt.cli import output
from yurt.cli.client import Client, call_path, container_path, function_path
from yurt.cli.command import connected


@click.command()
@click.argument("function", metavar="[APP:FUNCTION]", required=False)
@click.option("--call", "call_id", metavar="CALL", help="Of one call.")
@click.option("--container", "container_id", metavar="CONTAINER", help="Of one container.")
@click.option("-f", "--follow", is_flag=True, help="Go on with lines as they come: until ^C, of a call until its end.")
@click.option("--since", metavar="TIME", help="Not older than this: a time, or an age such as 10m.")
@click.option("--tail", type=click.IntRange(min=1), help="Only the last so many lines.")
@click.option("--search", metavar="TEXT", help="Only lines that contain this text.")
@connected
async def logs(
    client: Client,
    *,
    function: str | None,
    call_id: str | None,
    container_id: str | None,
    follow: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Print what a function, a call or a container wrote."""
    path, scope = _subject(client, function, call_id, container_id)
    query = scope | {name: str(value) for name, value in filters.items() if value is not None}
    lines = client.lines(f"{path}/logs", follow="true", **query) if follow else client.items(f"{path}/logs", **query)
    async with aclosing(lines):
        async for line in lines:
            click.echo(output.compact(line) if as_json else output.log_line(line))


def _subject(
    client: Client, function: str | None, call_id: str | None, container_id: str | None
) -> tuple[str, dict[str, str]]:
    """The path of the one thing that was named, and the query that finds it."""
    named = [
        (function_path(function), client.scope) if function else None,
        (call_path(call_id), {}) if call_id else None,
        (container_path(container_id), {}) if container_id else None,
    ]
    chosen = [one for one in named if one]
    if len(chosen) != 1:
        raise click.UsageError("name one function (APP:FUNCTION), or --call, or --container")
    return chosen[0]
