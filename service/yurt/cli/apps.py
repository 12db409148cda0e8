"""`yurt apps`, `functions`, `containers`, `environments` and `stop`."""

import click

from yurt.cli import output
from yurt.cli.client import Client, Json, app_path
from yurt.cli.command import connected
from yurt.cli.starts import cannot_start
from yurt.cli.targets import text_of


@click.command()
@click.option("--state", type=click.Choice(["ephemeral", "deployed", "stopped"]), help="Only these.")
@click.option("--all", "everything", is_flag=True, help="Stopped ones too.")
@connected
async def apps(client: Client, *, state: str | None, everything: bool, as_json: bool) -> None:
    """List apps, newest first."""
    query = client.scope | ({"state": state} if state else {})
    found = [app async for app in client.items("/apps", **query) if everything or state or app["state"] != "stopped"]
    if as_json:
        output.print_json(found)
        return
    rows = (
        (app["name"], app["state"], app["environment"], app["app_id"], output.age(app["created_at"])) for app in found
    )
    output.print_table(("APP", "STATE", "ENVIRONMENT", "ID", "AGE"), rows)


@click.command()
@click.argument("app", required=False)
@connected
async def functions(client: Client, *, app: str | None, as_json: bool) -> None:
    """List the functions of an app, or of all live apps."""
    addresses = (
        [(app, app)]
        if app
        else [
            (one["app_id"], one["name"])
            async for one in client.items("/apps", **client.scope)
            if one["state"] != "stopped"
        ]
    )
    found = [
        {"app": name, **function}
        for app_id, name in addresses
        async for function in client.items(f"{app_path(app_id)}/functions", **(client.scope if app else {}))
    ]
    found.sort(key=lambda one: (one["app"], one["name"]))
    if as_json:
        output.print_json(found)
        return
    rows = (
        (
            f"{one['app']}:{one['name']}",
            ", ".join(one.get("methods", ())),
            one["revision"],
            f"{one['timeout']} s",
            f"{one['memory']} MiB",
            one["function_id"],
        )
        for one in found
    )
    output.print_table(("FUNCTION", "METHODS", "REVISION", "TIMEOUT", "MEMORY", "ID"), rows)
    for one in found:
        if error := one.get("deploy_error"):
            output.notice(cannot_start(f"{one['app']}:{one['name']}", one["revision"], error))


@click.command()
@click.option("--function", metavar="APP:FUNCTION", help="Only of this one.")
@click.option("--all", "everything", is_flag=True, help="Those that have ended, too.")
@connected
async def containers(client: Client, *, function: str | None, everything: bool, as_json: bool) -> None:
    """List containers, newest first."""
    query = {"function_id": function, **client.scope} if function else {}
    # The server keeps ended ones for days; asking for each state of the others leaves them where they are.
    wanted = [{}] if everything else [{"state": state} for state in ("starting", "ready", "draining")]
    found = [one for states in wanted async for one in client.items("/containers", **query, **states)]
    found.sort(key=lambda one: str(one["created_at"]), reverse=True)
    if as_json:
        output.print_json(found)
        return
    rows = (
        (
            one["container_id"],
            one["state"],
            _of(one),
            one["revision"],
            output.age(one["created_at"]),
            one.get("end_reason"),
        )
        for one in found
    )
    output.print_table(("CONTAINER", "STATE", "FUNCTION", "REVISION", "AGE", "ENDED"), rows)


def _of(container: Json) -> str:
    """The function, and the parameters of a class."""
    parameters = container.get("parameters", {})
    return " ".join([container["function"], *(f"{name}={text_of(value)}" for name, value in parameters.items())])


@click.command()
@connected
async def environments(client: Client, *, as_json: bool) -> None:
    """List environments."""
    found = [one async for one in client.items("/environments")]
    if as_json:
        output.print_json(found)
    else:
        output.print_table(("ENVIRONMENT", "AGE"), ((one["name"], output.age(one["created_at"])) for one in found))


@click.command()
@click.argument("app")
@connected
async def stop(client: Client, *, app: str, as_json: bool) -> None:
    """Stop an app and its containers.

    Its queued and running inputs are cancelled; its results stay readable.
    """
    await client.send("DELETE", app_path(app), query=client.scope)
    if as_json:
        output.print_json({"app": app, "state": "stopped"})
    else:
        output.notice(f"stopped {app}")
