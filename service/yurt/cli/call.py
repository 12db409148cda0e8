"""`yurt call`, `spawn`, `get` and `cancel`."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from yurt.cli import output
from yurt.cli.arguments import parse_arguments
from yurt.cli.client import Client, Json, call_path, function_path
from yurt.cli.command import connected
from yurt.cli.failures import CommandError, ExitCode, Refused, Unreachable
from yurt.cli.items import Items
from yurt.cli.results import report, why_failed
from yurt.cli.targets import find_target, param_option
from yurt.cli.watching import ENDED, Progress, watch

SILENT_S = 1
"""A call that takes longer says what it waits for."""

LONGEST_WAIT_S = 60
"""What the server grants in one request."""

ARGUMENTS_HELP = """\b
Each ARGUMENT is read as JSON where it parses, else as a string:
  3  true  '{"a": 1}'  hello
  width=200         by name
  @photo.jpg  @-    the bytes of a file, of stdin
  '"a=b"'           in JSON's quotes: always a string
  -- a=b @c         after --: never a name or a file
"""


def _has_a_folder(ctx: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """A call may take long: that its result could not be written is better said before."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"{path.parent} is no directory", ctx, option)
    return path


_output_option = click.option(
    "--output",
    "save_to",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_has_a_folder,
    help="Write the result to a file.",
)


class WithArguments(click.Command):
    """A command whose trailing words are arguments of a function: negative numbers pass, and `--` keeps its meaning."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set aside what follows `--`, and let what is no option but a JSON number through."""
        cut = args.index("--") if "--" in args else len(args)
        words, ctx.meta["yurt.literal"] = args[:cut], args[cut + 1 :]
        return super().parse_args(ctx, [_shielded(word) for word in words])


_SHIELD = "\0"
"""No argument of a process can hold it, so it marks words that only look like options."""


def _shielded(word: str) -> str:
    return _SHIELD + word if word[:1] == "-" and word[1:2].isdigit() else word


def _body(arguments: tuple[str, ...]) -> Json:
    words = [word.removeprefix(_SHIELD) for word in arguments]
    return parse_arguments(words, click.get_current_context().meta["yurt.literal"])


@click.command(cls=WithArguments, epilog=ARGUMENTS_HELP)
@click.argument("function", metavar="APP:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@param_option
@_output_option
@connected
async def call(
    client: Client,
    *,
    function: str,
    arguments: tuple[str, ...],
    parameters: tuple[str, ...],
    save_to: Path | None,
    as_json: bool,
) -> None:
    """Call a function and print its result.

    A method of a class is called as APP:CLASS.METHOD. The result alone goes to stdout, and each item of a generator as
    it comes; logs, and what the call waits for, to stderr.
    """
    body = _body(arguments)
    target = await find_target(client, function, parameters)
    with Progress() as progress, Items(as_json=as_json, save_to=save_to) as items:
        ended = await _invoke(client, target.function, body | target.body, progress, items)
    report(ended, as_json=as_json, save_to=save_to)


async def _invoke(client: Client, function: str, body: Json, progress: Progress, items: Items) -> Json:
    headers = {"Prefer": f"respond-async, wait={SILENT_S}", "Idempotency-Key": str(uuid.uuid4())}
    path = f"{function_path(function)}/invocations"
    begun: Json = {}
    try:
        async with client.invocation(path, body, client.scope, headers) as (reply, lines):
            begun = reply.body or {"call_id": reply.headers["Yurt-Call-Id"], "status": "running"}
            answer = reply.body or await _stream(begun["call_id"], lines, items)
    except Unreachable:
        if not begun:
            raise
        answer = begun  # the stream broke, and the call goes on
    if answer["status"] not in ENDED:
        async with _going_on(answer["call_id"]):
            return await watch(client, answer, progress, items)
    await _show_logs(client, answer["call_id"], progress)
    return answer


@asynccontextmanager
async def _going_on(call_id: str) -> AsyncIterator[None]:
    """Who presses ^C may mean the call, or only the waiting."""
    try:
        yield
    except asyncio.CancelledError:
        output.notice(f"{call_id} goes on. Its result: yurt get {call_id} --wait 60. To end it: yurt cancel {call_id}")
        raise


async def _stream(call_id: str, lines: AsyncIterator[Json], items: Items) -> Json:
    """Print items; returns the call, which is in the last line."""
    async with _going_on(call_id):
        async for line in lines:
            if "item" not in line:
                return line
            items.take(line["item"])
    return {"call_id": call_id, "status": "running"}


async def _show_logs(client: Client, call_id: str, progress: Progress) -> None:
    """Print what a call wrote that was over before anybody followed it."""
    try:
        async for line in client.items(f"{call_path(call_id)}/logs"):
            progress.log(line)
    except Refused as refused:
        # A token that may call need not be one that may read logs.
        if refused.code is not ExitCode.AUTH:
            raise


@click.command(cls=WithArguments, epilog=ARGUMENTS_HELP)
@click.argument("function", metavar="APP:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@param_option
@click.option("--callback-url", metavar="URL", help="Who is told of the call's end, by a signed POST.")
@click.option("--priority", type=click.IntRange(-10, 10), default=0, help="Higher first, among your own calls.")
@click.option("--delay", type=click.FloatRange(min=0), metavar="SECONDS", help="Begin no earlier than so much later.")
@click.option(
    "--queue-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up unless it begins so soon.",
)
@connected
async def spawn(
    client: Client,
    *,
    function: str,
    arguments: tuple[str, ...],
    parameters: tuple[str, ...],
    callback_url: str | None,
    priority: int,
    delay: float | None,
    queue_timeout: float | None,
    as_json: bool,
) -> None:
    """Begin a call and print its id.

    The call goes on by itself; `yurt get` fetches its result.
    """
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    body = _body(arguments)
    target = await find_target(client, function, parameters)
    path, body = f"{function_path(target.function)}/spawn", body | target.body
    if callback_url is not None:
        body["callback_url"] = callback_url
    options = {"priority": priority or None, "delay": delay, "queue_timeout": queue_timeout}
    body |= {name: value for name, value in options.items() if value is not None}
    reply = await client.send("POST", path, body=body, query=client.scope, headers=headers)
    if as_json:
        output.print_json(reply.body)
    else:
        click.echo(reply.body["call_id"])


@click.command()
@click.argument("call_id", metavar="CALL")
@click.option("--wait", type=click.IntRange(min=0), default=0, metavar="SECONDS", help="Wait so long for its end.")
@_output_option
@connected
async def get(client: Client, *, call_id: str, wait: int, save_to: Path | None, as_json: bool) -> None:
    """Print the result of a call.

    Of a map, one result a line, in the order of the inputs. Exits with 6 while it is pending or running.
    """
    found = await _fetch(client, call_id, wait)
    if found.get("kind") == "map" and found["status"] in ENDED and not as_json:
        await _print_outputs(client, call_id, save_to)
    elif found["status"] == "success" and not as_json and found.keys().isdisjoint({"result", "result_omitted"}):
        raise CommandError(
            f"{call_id} has succeeded, and this token may not see its result",
            "Ask an administrator for one of the role invoke.",
            ExitCode.AUTH,
        )
    report(found, as_json=as_json, save_to=save_to)


async def _print_outputs(client: Client, call_id: str, save_to: Path | None) -> None:
    """What a map has of results; what failed is told beside them."""
    with Items(save_to=save_to) as items:
        async for line in client.items(f"{call_path(call_id)}/outputs"):
            if line["status"] == "success":
                items.take(line["result"])
            else:
                output.notice(f"input {line['index']}: {why_failed(line)}")
    if save_to and items.count:
        output.notice(f"wrote {save_to}")


async def _fetch(client: Client, call_id: str, wait_s: int) -> Json:
    """The call, once it has ended or `wait_s` seconds are over."""
    while True:
        share_s = min(wait_s, LONGEST_WAIT_S)
        found: Json = await client.get(call_path(call_id), **({"wait": str(share_s)} if share_s else {}))
        wait_s -= share_s
        if found["status"] in ENDED or not wait_s:
            return found


@click.command()
@click.argument("call_id", metavar="CALL")
@click.option("--force", is_flag=True, help="End its containers at once, too.")
@connected
async def cancel(client: Client, *, call_id: str, force: bool, as_json: bool) -> None:
    """Cancel a call.

    Cancelling it again is no error; one that ended otherwise cannot be cancelled.
    """
    body = {"terminate_containers": True} if force else {}
    reply = await client.send("POST", f"{call_path(call_id)}/cancel", body=body)
    if as_json:
        output.print_json(reply.body)
    else:
        output.notice(f"cancelled {call_id}")
