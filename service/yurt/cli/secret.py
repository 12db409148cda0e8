"""`yurt secret`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

import click
from dotenv.parser import parse_stream

from yurt.cli import output
from yurt.cli.client import Client
from yurt.cli.command import connected
from yurt.cli.failures import CommandError, ExitCode

STDIN = "-"


def _path(name: str) -> str:
    return f"/secrets/{quote(name, safe='')}"


@click.group()
def secret() -> None:
    """Set, list and delete secrets: variables for functions.

    Nobody can read them back. A function has them if its definition names the secret: secrets = ["NAME"].
    """


@secret.command("set")
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]... [-]")
@click.option("--from-file", metavar="FILE", help="Read lines KEY=VALUE, as in a .env file.")
@connected
async def set_(client: Client, *, name: str, values: Sequence[str], from_file: str | None, as_json: bool) -> None:
    """Set a secret to these variables.

    They take the place of all that it had. What stands on the command line is in the history of your shell and, while
    the command runs, in the list of processes. A single - reads lines KEY=VALUE from standard input instead, and KEY=-
    the value of that one variable.
    """
    variables = read_variables(values, from_file, sys.stdin)
    made = await client.send("PUT", _path(name), body={"values": variables}, query=client.scope)
    if as_json:
        output.print_json(made.body)
    else:
        what = "made" if made.status == 201 else "replaced"
        output.notice(f"{what} {name} in {made.body['environment']}: {', '.join(made.body['keys'])}")


@secret.command("list")
@connected
async def list_(client: Client, *, as_json: bool) -> None:
    """List secrets, with the names of their variables."""
    found = [one async for one in client.items("/secrets", **client.scope)]
    if as_json:
        output.print_json(found)
        return
    rows = ((one["name"], one["environment"], ", ".join(one["keys"]), output.age(one["updated_at"])) for one in found)
    output.print_table(("SECRET", "ENVIRONMENT", "KEYS", "SET"), rows)


@secret.command()
@click.argument("name")
@connected
async def delete(client: Client, *, name: str, as_json: bool) -> None:
    """Delete a secret that no live function names."""
    await client.send("DELETE", _path(name), query=client.scope)
    if as_json:
        output.print_json({"name": name, "deleted": True})
    else:
        output.notice(f"deleted {name}")


@secret.command("rotate-key")
@connected
async def rotate_key(client: Client, *, as_json: bool) -> None:
    """Encrypt all secrets anew, with a new key.

    A server that was given its key (YURT_SECRET_KEY, --secret-key-file) makes none: put the new one before the old one,
    with a comma between, start the server again, rotate, and take the old one away.
    """
    done = (await client.send("POST", "/secret-key/rotate")).body
    if as_json:
        output.print_json(done)
        return
    output.notice(f"{done['secrets']} secrets were encrypted anew; all are under the key {done['key_id']} now")
    if not done["made"] and not done["secrets"]:
        output.notice("The server was given its key and makes none: see yurt secret rotate-key --help")


def read_variables(values: Sequence[str], from_file: str | None, stdin: TextIO) -> dict[str, str]:
    """The variables that a command line means.

    Args:
        values: `KEY=VALUE`, `KEY=-` or `-`.
        from_file: a file of lines `KEY=VALUE`; what `values` says wins over it.
        stdin: read for `-`, once.

    Raises:
        CommandError: there are none, or something cannot be read; the message does not repeat it.
    """
    found = {} if from_file is None else _read_file(from_file)
    if sum(one == STDIN or one.endswith(f"={STDIN}") for one in values) > 1:
        raise CommandError("standard input can be read once only", "Use a single -", ExitCode.USAGE)
    for place, one in enumerate(values, start=1):
        key, equals, value = one.partition("=")
        if one == STDIN:
            found |= _read_lines(stdin, "standard input")
        elif not equals or not key:
            raise CommandError(f"value {place} is not KEY=VALUE", "See: yurt secret set --help", ExitCode.USAGE)
        else:
            found[key] = stdin.read().removesuffix("\n") if value == STDIN else value
    if not found:
        raise CommandError("there are no variables", "Give KEY=VALUE, --from-file FILE or -", ExitCode.USAGE)
    return found


def _read_file(name: str) -> dict[str, str]:
    try:
        with Path(name).open(encoding="utf-8") as file:
            return _read_lines(file, name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise CommandError(f"{name} cannot be read: {reason}", None, ExitCode.USAGE) from None


def _read_lines(stream: TextIO, name: str) -> dict[str, str]:
    found = {}
    for line in parse_stream(stream):
        if line.error or (line.key is not None and line.value is None):
            place = f"{name}, line {line.original.line}"
            raise CommandError(f"{place}: not KEY=VALUE", "Put a value with blanks in quotes.", ExitCode.USAGE)
        if line.key is not None and line.value is not None:
            found[line.key] = line.value
    return found
