"""`yurt doctor`."""

import asyncio
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import click

from yurt.app.doctor import examine
from yurt.cli import output
from yurt.cli.command import json_option
from yurt.cli.failures import CommandError, ExitCode
from yurt.cli.serve import read_settings, serve_options
from yurt.ports import ClusterRefused, Finding
from yurt.settings import Settings


@click.command()
@serve_options
@json_option
def doctor(*, as_json: bool, **flags: Any) -> None:
    """Look over the cluster that a server would use, and say what to do.

    Takes the flags and variables of `yurt serve`, and needs --engine nomad: the local engine says at its start what it
    lacks. One task is run on the cluster, which calls this server, or a stand-in where none runs.
    """
    settings = read_settings(flags)
    if settings.engine != "nomad":
        raise CommandError("There is no cluster to look over.", "Add --engine nomad.", ExitCode.USAGE)
    try:
        findings = asyncio.run(_look(settings, as_json=as_json))
    except ClusterRefused as refused:
        raise CommandError(str(refused), "See: yurt doctor --help", ExitCode.USAGE) from refused
    if as_json:
        output.print_json([asdict(finding) for finding in findings])
    if any(finding.todo for finding in findings):
        raise CommandError("Something is not as it should be.", "See above.")


async def _look(settings: Settings, *, as_json: bool) -> list[Finding]:
    findings = []
    async with aclosing(examine(settings)) as found:
        async for finding in found:
            findings.append(finding)
            if not as_json:
                click.echo(f"{'! ' if finding.todo else 'ok'} {finding.what}: {finding.said}")
                if finding.todo:
                    click.echo(f"     {finding.todo}")
    return findings
