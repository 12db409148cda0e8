"""New revisions that cannot start: the old one goes on serving, so nobody would hear of them from a call."""

import asyncio

import click

from yurt.cli import output
from yurt.cli.client import Client, Json, app_path
from yurt.cli.failures import CommandError, ExitCode

LOOK_EVERY_S = 1
"""How often the functions are looked at, in seconds."""


class FailedStarts:
    """Tells of each revision of an app's functions whose containers do not start, once.

    Args:
        client: open as long as `watch` runs.
        app_id: the app's.
        as_json: print each as JSON.
    """

    def __init__(self, client: Client, app_id: str, *, as_json: bool) -> None:
        self._client = client
        self._app_id = app_id
        self._as_json = as_json
        self._told: set[tuple[str, int]] = set()

    async def watch(self) -> None:
        """Look again and again, also over a restart of the server."""
        while True:
            try:
                async for function in self._client.items(f"{app_path(self._app_id)}/functions"):
                    self._tell(function)
            except CommandError as error:
                if error.code is not ExitCode.UNREACHABLE:
                    raise
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell(self, function: Json) -> None:
        name, revision, error = function["name"], function["revision"], function.get("deploy_error")
        if error is None or (name, revision) in self._told:
            return
        self._told.add((name, revision))
        if self._as_json:
            told = {"event": "deploy_error", "function": name, "revision": revision, "error": error}
            click.echo(output.compact(told))
            return
        if trace := error.get("traceback"):
            output.notice(str(trace).rstrip())
        CommandError(cannot_start(name, revision, error), "The revision before it goes on.").show()


def cannot_start(function: str, revision: int, error: Json) -> str:
    """What is wrong with a revision, on one line.

    Args:
        error: what the function has as `deploy_error`.
    """
    return f"revision {revision} of {function} cannot start: {error.get('type')}: {error.get('message')}"
