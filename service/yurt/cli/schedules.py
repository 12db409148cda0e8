"""`yurt schedules`, and `yurt schedule pause`, `resume` and `run`."""

from typing import Any
from urllib.parse import quote

import click

from yurt.cli import output
from yurt.cli.client import Client
from yurt.cli.command import connected


@click.command()
@click.option("--app", metavar="APP", help="Only of this app.")
@click.option("--function", metavar="APP:FUNCTION", help="Only of this one.")
@connected
async def schedules(client: Client, *, app: str | None, function: str | None, as_json: bool) -> None:
    """List schedules, with their next and last calls."""
    query = {key: value for key, value in (("app_id", app), ("function_id", function)) if value is not None}
    found = [one async for one in client.items("/schedules", **query, **client.scope)]
    found.sort(key=lambda one: str(one["function"]))
    if as_json:
        output.print_json(found)
        return
    rows = (
        (
            one["schedule_id"],
            one["function"],
            _when(one),
            one["state"],
            one.get("next_at"),
            one.get("last_call_at"),
            one.get("last_call_id"),
        )
        for one in found
    )
    output.print_table(("SCHEDULE", "FUNCTION", "WHEN", "STATE", "NEXT", "LAST", "CALL"), rows)


def _when(schedule: dict[str, Any]) -> str:
    """`0 9 * * 1-5 Europe/Berlin`, `every 1 days 2 hours`."""
    if "cron" in schedule:
        return f"{schedule['cron']} {schedule['timezone']}"
    return "every " + " ".join(f"{value:g} {part}" for part, value in schedule["period"].items())


@click.group()
def schedule() -> None:
    """Pause, resume or run a schedule.

    `yurt schedules` lists them.
    """


@schedule.command()
@click.argument("schedule_id", metavar="SCHEDULE")
@connected
async def pause(client: Client, *, schedule_id: str, as_json: bool) -> None:
    """Let a schedule make no more calls by itself."""
    await _change(client, schedule_id, "pause", as_json=as_json)


@schedule.command()
@click.argument("schedule_id", metavar="SCHEDULE")
@connected
async def resume(client: Client, *, schedule_id: str, as_json: bool) -> None:
    """Let a paused schedule make calls again, from now on."""
    await _change(client, schedule_id, "resume", as_json=as_json)


@schedule.command()
@click.argument("schedule_id", metavar="SCHEDULE")
@connected
async def run(client: Client, *, schedule_id: str, as_json: bool) -> None:
    """Make a schedule's call now, and print the call's id.

    Its result: yurt get CALL --wait 60.
    """
    reply = await client.send("POST", f"{_path(schedule_id)}/run")
    if as_json:
        output.print_json(reply.body)
    else:
        click.echo(reply.body["call_id"])


async def _change(client: Client, schedule_id: str, what: str, *, as_json: bool) -> None:
    changed = (await client.send("POST", f"{_path(schedule_id)}/{what}")).body
    if as_json:
        output.print_json(changed)
    else:
        following = f"; next at {changed['next_at']}" if "next_at" in changed else ""
        output.notice(f"{changed['schedule_id']} of {changed['function']} is {changed['state']}{following}")


def _path(schedule_id: str) -> str:
    return f"/schedules/{quote(schedule_id, safe='')}"
