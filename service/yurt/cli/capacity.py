"""`yurt capacity`."""

import click

from yurt.cli import output
from yurt.cli.client import Client
from yurt.cli.command import connected


@click.command()
@connected
async def capacity(client: Client, *, as_json: bool) -> None:
    """Show what GPUs there are, and who has them."""
    found = (await client.send("GET", "/capacity")).body
    if as_json:
        output.print_json(found)
        return
    if not found["reachable"]:
        output.notice(f"The engine {found['engine']} does not know: {found['reason']}")
    rows = [(one["type"], one["total"], one["free"], _holders(one["held_by"])) for one in found["gpus"]]
    if rows:
        output.print_table(("GPU", "TOTAL", "FREE", "HELD BY"), rows)
    else:
        output.notice(f"The engine {found['engine']} has no GPUs to offer.")
    for one in found["unmapped"]:
        output.notice(f"{one['count']} {one['model']}: no type stands for it. Give it one with --gpu-models.")


def _holders(held: list[dict[str, str]]) -> str:
    return ", ".join(f"{one['function']} ({one['container_id']}): {one['count']}" for one in held)
