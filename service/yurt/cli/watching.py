"""Waiting for a call: its result in the end, and meanwhile on stderr what it prints and what it waits for."""

import asyncio
from contextlib import aclosing
from typing import Self

from rich.console import Console
from rich.status import Status

from yurt.cli import output
from yurt.cli.client import Client, Event, Json, call_path
from yurt.cli.failures import CommandError, ExitCode
from yurt.cli.items import Items

ENDED = {"success", "failure", "terminated"}

PATIENCE_S = 60
"""How long a server may be away while a call is watched: the call itself goes on without us."""


AGAIN_S = 0.5
"""The pause before a stream that broke is opened again, in seconds."""


class Progress:
    """Shows on stderr how a call goes: one changing line on a terminal, one line per change elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status: Status | None = None
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def waits_for(self, message: str) -> None:
        """Say it, unless it was the last thing said."""
        if message == self._said:
            return
        self._said = message
        if not self._console.is_terminal:
            output.notice(message)
        elif self._status:
            self._status.update(message)
        else:
            self._status = self._console.status(message)
            self._status.start()

    def log(self, line: Json) -> None:
        """Print a line of the function's log."""
        self._console.print(output.log_line(line), markup=False, highlight=False, soft_wrap=True)


def pending_message(call: Json) -> str:
    """What a call that has not ended is doing, in words."""
    if call["status"] == "running":
        return "running"
    reason = call.get("pending_reason")
    return str(reason["message"]) if reason else "waiting to be started"


async def watch(client: Client, call: Json, progress: Progress, items: Items) -> Json:
    """Follow a call's events until it has ended, over broken connections; returns the ended call.

    Args:
        items: takes what a generator yields, and knows what came before.
    """
    path = f"{call_path(call['call_id'])}/events"
    last_id = f"0-{items.count}" if items.count else ""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + PATIENCE_S
    progress.waits_for(pending_message(call))
    while True:
        try:
            async with aclosing(client.events(path, last_id=last_id)) as events:
                async for event in events:
                    if event.name == "end":
                        ended: Json = event.data
                        return ended
                    last_id = event.id or last_id
                    give_up_at = loop.time() + PATIENCE_S
                    if event.name == "item":
                        items.take(event.data["item"])
                    else:
                        show(event, progress)
        except CommandError as error:
            if error.code is not ExitCode.UNREACHABLE or loop.time() > give_up_at:
                raise
        await asyncio.sleep(AGAIN_S)


def show(event: Event, progress: Progress) -> None:
    """Show what an event says; kinds that are unknown here say nothing."""
    if event.name == "log":
        progress.log(event.data)
    elif event.name in {"pending", "state"}:
        progress.waits_for(pending_message(event.data))
