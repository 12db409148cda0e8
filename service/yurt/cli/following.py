"""The logs of an app's functions in one stream, as they come."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing

import click

from yurt.cli import output
from yurt.cli.client import Client, Json, function_path
from yurt.cli.failures import CommandError, ExitCode

AGAIN_S = 1
"""The pause before a stream that broke is opened again, in seconds."""


class LogStreams:
    """Prints the logs of an app's functions, one task a function.

    Args:
        client: open as long as the tasks run.
        app: the app's name.
        tasks: the group that owns the tasks.
        as_json: print each line as JSON.
    """

    def __init__(self, client: Client, app: str, tasks: asyncio.TaskGroup, *, as_json: bool) -> None:
        self._client = client
        self._app = app
        self._tasks = tasks
        self._as_json = as_json
        self._following: dict[str, asyncio.Task[None]] = {}

    def follow(self, functions: Collection[str]) -> None:
        """Follow these from now on, and no others."""
        for name in self._following.keys() - set(functions):
            self._following.pop(name).cancel()
        for name in functions:
            if name not in self._following:
                self._following[name] = self._tasks.create_task(self._stream(name), name=f"logs of {name}")

    async def _stream(self, name: str) -> None:
        """Print lines until the function is gone; a stream that broke goes on after the last line printed."""
        path = f"{function_path(f'{self._app}:{name}')}/logs"
        place, printed = {"since": "1s"}, ""
        while True:
            query = {"follow": "true", **self._client.scope, **place}
            try:
                async with aclosing(self._client.lines(path, **query)) as lines:
                    async for line in lines:
                        if line["time"] != printed:
                            place = {"since": line["time"]}
                            self._print(name, line)
            except CommandError as error:
                if error.code is ExitCode.NOT_FOUND:
                    return
                if error.code is not ExitCode.UNREACHABLE:
                    raise
            # What was printed up to here comes once more after `since`.
            printed = place["since"]
            await asyncio.sleep(AGAIN_S)

    def _print(self, name: str, line: Json) -> None:
        if self._as_json:
            click.echo(output.compact({"event": "log", "function": name, **line}))
        else:
            click.echo(f"{name}  {output.log_line(line)}")
