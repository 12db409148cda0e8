"""Bringing a project to a server: its source, its app, its functions in one step."""

from collections.abc import Mapping
from typing import Any

from yurt.cli.client import Client, Json, app_path
from yurt.cli.failures import CommandError, ExitCode, Refused
from yurt.cli.project import Project
from yurt.cli.sources import bundle, inline

UPLOAD_S = 600
"""How long the upload of a bundle may take."""


async def publish(client: Client, project: Project, *, dry_run: bool = False) -> Json:
    """Make the functions of a deployed app those of the project, all or none; the app is created if it is not there.

    Returns:
        What the server did, or with `dry_run` would do: `created`, `updated`, `unchanged`, `removed`, `warnings`.

    Raises:
        CommandError: a definition is not valid; the message names the place in the manifest.
    """
    new = not dry_run and not await _is_live(client, project.app)
    if new:
        await _create(client, project)
    try:
        return await replace_functions(client, project, dry_run=dry_run)
    except CommandError:
        if new:
            # Of a deploy that was refused nothing stays, not even an empty app.
            await client.send("DELETE", app_path(project.app), query=client.scope)
        raise


async def _create(client: Client, project: Project) -> None:
    try:
        await client.send("POST", "/apps", body={"name": project.app, **client.scope})
    except Refused as refused:
        if refused.status == 422 and refused.fields:
            raise _at_its_place(refused, project) from refused
        raise


async def replace_functions(client: Client, project: Project, *, dry_run: bool = False) -> Json:
    """As `publish`, for an app that is there."""
    source = await _source(client, project)
    functions = {name: {**definition, "source": source} for name, definition in project.definitions.items()}
    query = client.scope | ({"dry_run": "true"} if dry_run else {})
    body = {"functions": functions, "prune": True}
    try:
        reply = await client.send("PUT", f"{app_path(project.app)}/functions", body=body, query=query)
    except Refused as refused:
        if refused.status == 422 and refused.fields:
            raise _at_its_place(refused, project) from refused
        raise
    done: Json = reply.body
    return done


async def _is_live(client: Client, app: str) -> bool:
    try:
        await client.get(app_path(app), **client.scope)
    except Refused as refused:
        if refused.status == 404:
            return False
        raise
    return True


async def _source(client: Client, project: Project) -> Json:
    """The source as a definition says it; a bundle that the server lacks is uploaded first."""
    texts = inline(project.files)
    if texts is not None:
        return {"files": texts}
    archive = bundle(project.files)
    path = f"/bundles/{archive.sha256}"
    try:
        await client.send("HEAD", path, query=client.scope)
    except Refused as refused:
        if refused.status != 404:
            raise
        headers = {"Content-Type": "application/zip"}
        await client.send("PUT", path, data=archive.content, query=client.scope, headers=headers, timeout_s=UPLOAD_S)
    return {"bundle": archive.sha256}


def _at_its_place(refused: Refused, project: Project) -> CommandError:
    """The server's words about a definition, each behind the line of the manifest that it is about."""
    lines = dict.fromkeys(_placed(field, project) for field in refused.fields)
    return CommandError("\n".join(lines), code=ExitCode.USAGE)


def _placed(field: Mapping[str, Any], project: Project) -> str:
    keys = [key.replace("~1", "/").replace("~0", "~") for key in str(field["pointer"]).split("/")[1:]]
    if keys == ["name"] and project.manifest and project.manifest.app == project.app:
        return f"{project.manifest.place_of_app}: app: {field['message']}"
    if len(keys) < 2 or keys[0] != "functions":
        return f"{field['pointer']}: {field['message']}"
    function, *rest = keys[1:]
    if rest[:2] == ["source", "files"]:
        file, message = "/".join(rest[2:]), str(field["message"])
        return message if message.startswith(f"{file}:") else f"{file}: {message}"  # some name their line in it
    place = project.manifest.place(function, rest[0] if rest else "") if project.manifest else str(project.root)
    return f"{place}: {'.'.join([function, *rest])}: {field['message']}"
