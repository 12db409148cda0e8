"""`yurt map`: a function over every line of a file."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from io import BufferedReader

import click

from yurt.cli import output
from yurt.cli.client import Client, Json, function_path
from yurt.cli.command import connected
from yurt.cli.failures import CommandError
from yurt.cli.results import why_failed
from yurt.cli.targets import find_target, param_option

CHUNK_BYTES = 256 << 10
SAY_EVERY_S = 2.0
"""How often progress is told, in seconds."""

_EPILOG = """\b
Each line of FILE is one input, such as:
  {"args": [3]}
  {"args": ["a.jpg"], "kwargs": {"width": 200}}
FILE - is stdin. Each line of stdout is one result, in the order of the inputs.
"""


@click.command(name="map", epilog=_EPILOG)
@click.argument("function", metavar="APP:FUNCTION")
@click.argument("file", type=click.File("rb"), metavar="FILE")
@param_option
@click.option("--as-completed", is_flag=True, help="Print results as they come, not in the order of the inputs.")
@click.option("--keep-going", is_flag=True, help="Go on after a failure; it is told on stderr, and at the end.")
@connected
async def map_(
    client: Client,
    *,
    function: str,
    file: BufferedReader,
    parameters: tuple[str, ...],
    as_completed: bool,
    keep_going: bool,
    as_json: bool,
) -> None:
    """Call a function with every line of a file, and print the results.

    A method of a class is called as APP:CLASS.METHOD. With --json each line is a whole answer, with index and status.
    Interrupting it does not cancel the inputs that were sent: `yurt cancel` does.
    """
    target = await find_target(client, function, parameters)
    query = {**client.scope, **target.query, "order_outputs": str(not as_completed).lower(), "summary": "true"}
    if keep_going:
        query["return_exceptions"] = "true"
    path = f"{function_path(target.function)}/map"
    told = _Told()
    async with client.exchange(path, _chunks(file), query) as (headers, lines):
        try:
            async for line in lines:
                if "summary" in line:
                    told.over(line["summary"])
                else:
                    told.line(line, as_json=as_json)
        except asyncio.CancelledError:
            call_id = headers["Yurt-Call-Id"]
            output.notice(f"{call_id} goes on with what was sent. To end it: yurt cancel {call_id}")
            raise
    told.check(headers["Yurt-Call-Id"])


async def _chunks(file: BufferedReader) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read1, CHUNK_BYTES):
        yield chunk


class _Told:
    """What was printed, and what is to be said at the end."""

    def __init__(self) -> None:
        self._count = 0
        self._said_at = time.monotonic()
        self._failed: list[Json] = []
        self._summary: Json | None = None

    def line(self, line: Json, *, as_json: bool) -> None:
        """Print one result, or say that there is none."""
        self._count += 1
        if as_json:
            click.echo(output.compact(line))
        elif line["status"] == "success":
            click.echo(output.compact(line["result"]))
        if line["status"] != "success":
            self._failed = self._failed or [line]
            output.notice(f"input {line['index']}: {why_failed(line)}")
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY_S and sys.stderr.isatty():
            self._said_at = now
            output.notice(f"{self._count:,} results")

    def over(self, summary: Json) -> None:
        """The call has ended."""
        self._summary = summary

    def check(self, call_id: str) -> None:
        """Say how it went.

        Raises:
            CommandError: not every line of the file has a result.
        """
        if self._summary is None:
            raise CommandError(f"the answer of {call_id} broke off", f"What has ended: yurt get {call_id} --json")
        counts = self._summary["counts"]
        if "input_error" in self._summary:
            raise CommandError(f"{call_id} took {self._summary['num_inputs']} inputs: {self._summary['input_error']}")
        if self._failed or self._summary["status"] != "success":
            ended = f"{counts['success']} succeeded, {counts['failure']} failed, {counts['terminated']} were cancelled"
            again = f"To run again what did not succeed: yurt redrive {call_id}"
            raise CommandError(f"{call_id}: {ended}", again if self._failed else "It was cancelled.")
