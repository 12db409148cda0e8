"""`yurt redrive`: what failed, once more."""

import click

from yurt.cli import output
from yurt.cli.client import Client, Json, call_path, function_path
from yurt.cli.command import connected

_EPILOG = """\b
Outcomes: user_error, timeout, init_failure, out_of_memory, crashed,
internal_error, expired, cancelled.
"""


@click.command(epilog=_EPILOG)
@click.argument("target", metavar="CALL|APP:FUNCTION")
@click.option("--since", metavar="TIME", help="Of a function: calls from then on, 2026-11-22T10:15:30Z or 10m, 2h, 7d.")
@click.option("--outcome", "outcomes", multiple=True, metavar="OUTCOME", help="Of these, only what ended so.")
@connected
async def redrive(client: Client, *, target: str, since: str | None, outcomes: tuple[str, ...], as_json: bool) -> None:
    """Repeat a failed call, or those of a function.

    Prints the id of the new call, which gets the same arguments and runs what is deployed now; of a map, a new map of
    the inputs that failed or were cancelled. Of a function, how many calls were repeated: each once, however often it
    is asked for. Without --outcome that is all that failed, but not what was cancelled.
    """
    if ":" in target or target.startswith("fu-"):
        if since is None:
            raise click.UsageError("How far back? Say it with --since 1h, for instance.")
        await _redrive_calls(client, target, since, outcomes, as_json=as_json)
        return
    if since is not None or outcomes:
        raise click.UsageError(f"--since and --outcome are for functions; {target} is one call.")
    reply = await client.send("POST", f"{call_path(target)}/redrive", timeout_s=None)
    if as_json:
        output.print_json(reply.body)
    else:
        click.echo(reply.body["call_id"])


async def _redrive_calls(
    client: Client, function: str, since: str, outcomes: tuple[str, ...], *, as_json: bool
) -> None:
    body: Json = {"since": since} | ({"outcomes": outcomes} if outcomes else {})
    path = f"{function_path(function)}/redrive"
    told = (await client.send("POST", path, body=body, query=client.scope, timeout_s=None)).body
    if as_json:
        output.print_json(told)
    else:
        click.echo(told["redriven"])
    if maps := told["maps_left"]:
        output.notice(
            f"{maps} failed {'map is' if maps == 1 else 'maps are'} left. Each is repeated by its id: yurt redrive CALL"
        )
