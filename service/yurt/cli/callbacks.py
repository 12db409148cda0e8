"""`yurt callback-secrets`."""

from urllib.parse import quote

import click

from yurt.cli import output
from yurt.cli.client import Client
from yurt.cli.command import connected


@click.command("callback-secrets")
@click.option("--rotate", is_flag=True, help="Make a new one first; the one before is used beside it for 24 h.")
@connected
async def callback_secrets(client: Client, *, rotate: bool, as_json: bool) -> None:
    """Print what callbacks are signed with.

    The current secret of the environment (`main` unless -e says otherwise) comes first.
    """
    path = f"/environments/{quote(client.target.environment or 'main', safe='')}/callback-secrets"
    found = (await client.send("POST" if rotate else "GET", path)).body
    if as_json:
        output.print_json(found)
        return
    rows = (
        (one["secret"], output.age(one["created_at"]), one.get("expires_at", "current")) for one in found["secrets"]
    )
    output.print_table(("SECRET", "AGE", "USED UNTIL"), rows)
