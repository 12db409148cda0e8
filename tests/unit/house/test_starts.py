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
