"""`yurt token`."""

import click

from yurt.cli import output
from yurt.cli.client import Client
from yurt.cli.command import connected

ROLES = ("read", "invoke", "deploy", "admin")


@click.group()
def token() -> None:
    """Make, list and revoke tokens."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it allows; each role contains the former.")
@click.option("--expires-at", metavar="TIME", help="When it ends, such as 2030-01-31T00:00:00Z; by default never.")
@connected
async def create(client: Client, *, name: str, role: str, expires_at: str | None, as_json: bool) -> None:
    """Make a token and print it: it is shown this once.

    With --environment it is good for that environment alone.
    """
    body = {"name": name, "role": role, **client.scope, **({"expires_at": expires_at} if expires_at else {})}
    made = (await client.send("POST", "/tokens", body=body)).body
    if as_json:
        output.print_json(made)
    else:
        click.echo(f"{made['token_id']}:{made['token_secret']}")


@token.command("list")
@connected
async def list_(client: Client, *, as_json: bool) -> None:
    """List tokens, without their secrets."""
    found = [one async for one in client.items("/tokens")]
    if as_json:
        output.print_json(found)
        return
    rows = (
        (one["token_id"], one["name"], one["role"], one.get("environment", "all"), one.get("expires_at", "never"))
        for one in found
    )
    output.print_table(("TOKEN", "NAME", "ROLE", "ENVIRONMENT", "EXPIRES"), rows)


@token.command()
@click.argument("token_id")
@connected
async def revoke(client: Client, *, token_id: str, as_json: bool) -> None:
    """Revoke a token, at once."""
    await client.send("DELETE", f"/tokens/{token_id}")
    if as_json:
        output.print_json({"token_id": token_id, "revoked": True})
    else:
        output.notice(f"revoked {token_id}")
