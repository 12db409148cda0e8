"""`yurt dev`: an app that lives while one works on it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import click
from watchfiles import Change, DefaultFilter, awatch

from yurt.cli import output
from yurt.cli.client import Client, Json, app_path
from yurt.cli.command import connected
from yurt.cli.deploy import changes, show_urls, warning_text
from yurt.cli.failures import CommandError, ExitCode, Refused
from yurt.cli.following import LogStreams
from yurt.cli.project import LONGEST_NAME, Project, read_project
from yurt.cli.publishing import replace_functions
from yurt.cli.starts import FailedStarts

SUFFIX = "-dev"

TTL_S = 60
"""How long the app outlives this command, should it be killed."""

RENEW_EVERY_S = 20
"""Two renewals may fail before the app ends."""

SETTLE_MS = 200
"""Editors write a file in several steps: changes within so many milliseconds count as one save."""


def dev_name(app: str) -> str:
    """The name of the app that `yurt dev` works on, cut to what a name may be."""
    return app[: LONGEST_NAME - len(SUFFIX)] + SUFFIX


@click.command()
@click.argument("path", type=click.Path(exists=True, resolve_path=True, path_type=Path), default=".")
@connected
async def dev(client: Client, *, path: Path, as_json: bool) -> None:
    """Redeploy a folder or a file on every save.

    The functions are those of an app of their own, NAME-dev, which is stopped on ^C. A save that is broken is
    reported, as is one that cannot start, and the last good revision goes on. Logs are printed as they come.
    """
    app = dev_name(read_project(path).app)
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with _app(client, app) as app_id, asyncio.TaskGroup() as tasks:
            tasks.create_task(_renew(client, app_id), name="renew the app")
            saved = asyncio.Event()
            tasks.create_task(_watch(path, saved), name="watch for saves")
            tasks.create_task(FailedStarts(client, app_id, as_json=as_json).watch(), name="watch starts")
            streams = LogStreams(client, app, tasks, as_json=as_json)
            output.notice(f"{app} follows {path}; ^C stops it")
            while True:
                # The watch stands before the first look at the files, so no save falls between the two.
                await asyncio.sleep(0)
                await _redeploy(client, path, app, streams, as_json=as_json)
                await saved.wait()
                saved.clear()
    except* (CommandError, OSError) as group:
        # One failure of a task ends the others; it is the first that tells what happened.
        raise group.exceptions[0] from None


async def _watch(path: Path, saved: asyncio.Event) -> None:
    async for _ in awatch(_folder(path), debounce=SETTLE_MS, step=SETTLE_MS // 4, watch_filter=_Saves(path)):
        saved.set()


def _folder(path: Path) -> Path:
    """What to watch: of a file its folder, since editors replace files instead of writing to them."""
    return path if path.is_dir() else path.parent


class _Saves(DefaultFilter):
    """Which changes can matter: not those of caches, repositories or editors' own files, nor of a file's siblings."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._only = None if path.is_dir() else str(path)

    def __call__(self, change: Change, path: str) -> bool:
        return self._only in {None, path} and super().__call__(change, path)


@asynccontextmanager
async def _app(client: Client, name: str) -> AsyncIterator[str]:
    """An ephemeral app for as long as the block runs; gives its id."""
    app = await _create(client, name)
    try:
        yield str(app["app_id"])
    finally:
        await client.send("DELETE", app_path(app["app_id"]))
        output.notice(f"stopped {name}")


async def _create(client: Client, name: str) -> Json:
    """Make the app, or take over the one that a killed `yurt dev` left."""
    body = {"name": name, "ephemeral": True, "ttl": TTL_S, **client.scope}
    try:
        made: Json = (await client.send("POST", "/apps", body=body)).body
    except Refused as refused:
        if refused.status != 409:
            raise
    else:
        return made
    found: Json = await client.get(app_path(name), **client.scope)
    if found["state"] != "ephemeral":
        raise CommandError(
            f"{name} is a deployed app, which `yurt dev` would replace",
            f"Stop it with `yurt stop {name}`, or rename the app.",
            ExitCode.USAGE,
        )
    output.notice(f"taking over {name}, which is still alive")
    return found


async def _renew(client: Client, app_id: str) -> None:
    """Keep the app alive, also over a restart of the server."""
    while True:
        try:
            await client.send("POST", f"{app_path(app_id)}/renew")
        except CommandError as error:
            if error.code is not ExitCode.UNREACHABLE:
                raise
            output.notice(f"Warning: {error.what}; trying again")
        await asyncio.sleep(RENEW_EVERY_S)


async def _redeploy(client: Client, path: Path, app: str, streams: LogStreams, *, as_json: bool) -> None:
    try:
        project = replace(read_project(path), app=app)
    except CommandError as error:
        error.show()
    else:
        await _deploy(client, project, streams, as_json=as_json)


async def _deploy(client: Client, project: Project, streams: LogStreams, *, as_json: bool) -> None:
    """Deploy what was read; what the server refuses is reported, and what served before goes on."""
    try:
        done = await replace_functions(client, project)
    except CommandError as error:
        error.show()
        return
    streams.follow(project.definitions)
    for warning in done["warnings"]:
        output.notice(f"Warning: {warning_text(warning)}")
    if as_json:
        click.echo(output.compact({"event": "deployed", "app": project.app, **done}))
        return
    for function, change in changes(project.app, done):
        if change != "unchanged":
            output.notice(f"{function} {change}")
    show_urls(project.app, done)
