"""`yurt deploy`."""

from dataclasses import replace
from pathlib import Path

import click

from yurt.cli import output
from yurt.cli.client import Client, Json
from yurt.cli.command import connected
from yurt.cli.project import read_project
from yurt.cli.publishing import publish


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--name", help="Deploy it as the app of this name.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@connected
async def deploy(client: Client, *, path: Path, name: str | None, dry_run: bool, as_json: bool) -> None:
    """Register the functions of a folder or a file.

    PATH is a folder with a yurt.toml (by default this one), or a Python file: then the app bears the file's name and
    its functions are the file's public top-level ones. Functions that are no longer there are removed from the app.
    """
    project = read_project(path)
    if name:
        project = replace(project, app=name)
    done = await publish(client, project, dry_run=dry_run)
    for warning in done["warnings"]:
        output.notice(f"Warning: {warning_text(warning)}")
    if as_json:
        output.print_json({"app": project.app, **done})
        return
    output.print_table(("FUNCTION", "CHANGE"), sorted(changes(project.app, done)))
    show_urls(project.app, done)
    if dry_run:
        output.notice("Nothing was changed: this was a dry run.")


def changes(app: str, done: Json) -> list[tuple[str, str]]:
    """The functions of a deploy, and what became of each."""
    updated = [
        (one["name"], f"updated to revision {one['revision']}: {', '.join(one['changed'])}") for one in done["updated"]
    ]
    others = [(name, kind) for kind in ("created", "unchanged", "removed") for name in done[kind]]
    return [(f"{app}:{name}", change) for name, change in (*updated, *others)]


def show_urls(app: str, done: Json) -> None:
    """Say where the functions of a deploy are reached that answer HTTP."""
    for function, url in sorted(done.get("web_urls", {}).items()):
        output.notice(f"{app}:{function} answers at {url}")


def warning_text(warning: object) -> str:
    """What a warning of the server says, and of which function."""
    if not isinstance(warning, dict):
        return str(warning)
    return f"{warning['function']}: {warning['message']}" if "function" in warning else str(warning["message"])
