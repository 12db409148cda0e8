"""What a start loads."""

import subprocess
import sys

CLIENTS = {"requests", "nomad", "jwt"}
"""Of a cluster; to load them takes a tenth of a second."""


def test_the_server_of_one_machine_loads_no_clients_of_a_cluster() -> None:
    loaded = "import sys, yurt.app.life, yurt.cli.serve; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60)
    assert "yurt.app.engines" in ran.stdout.split()
    assert not CLIENTS & {*ran.stdout.split()}


def test_what_a_command_loads_is_not_looked_through_by_the_collector() -> None:
    loads = (
        "import click, gc; from yurt.cli.main import cli; before = gc.get_freeze_count();"
        "command = cli.get_command(click.Context(cli), 'serve'); print(gc.isenabled(), gc.get_freeze_count() - before)"
    )
    ran = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True, timeout=60)
    enabled, kept = ran.stdout.split()
    assert enabled == "True"
    assert int(kept) > 10_000
