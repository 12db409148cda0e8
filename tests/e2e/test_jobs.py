"""Yurt as a job of the cluster that it uses."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scripts.stack.http import call
from scripts.stack.ports import is_free
from scripts.stack.stack import ROOT, Stack
from tests.acceptance.served import Served
from tests.e2e.yurts import SOURCE, purge

JOB = ROOT / "jobspecs" / "control-plane.nomad.hcl"
RUNS_S = 120


class Hosted:
    """A server that Nomad runs.

    Args:
        place: where its data is.
    """

    def __init__(self, stack: Stack, place: Path, port: int) -> None:
        self.stack = stack
        self.port = port
        self.served = Served(place, port=port)

    def nomad(self, *words: str) -> str:
        """Run the command `nomad`, with every right."""
        environment = {**os.environ, "NOMAD_ADDR": self.stack.plan.nomad_address}
        environment["NOMAD_TOKEN"] = self.stack.management_token()
        program = json.loads((self.stack.home / "stack.json").read_text())["programs"]["nomad"]
        ran = subprocess.run(
            [program, *words], env=environment, capture_output=True, text=True, timeout=RUNS_S, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def run(self, **settings: str) -> None:
        """Run the job, or a new version of it, until its checks pass."""
        own = self.stack.environment()
        kept = {name: own[name] for name in ("YURT_NOMAD_DRIVER", "YURT_NOMAD_PYTHON")}
        variables = {
            "yurt": str(Path(sys.executable).with_name("yurt")),
            "user": "root",  # who can reach this checkout, wherever it is
            "data_dir": str(self.served.data),
            "port": str(self.port),
            "nomad_address": self.stack.plan.nomad_address,
            "environment": json.dumps({**kept, **settings}),
        }
        self.nomad("var", "put", "-force", "nomad/jobs/yurt", f"token={self.stack.token()}")
        self.nomad("job", "run", *(f"-var={name}={value}" for name, value in variables.items()), str(JOB))

    async def ready(self) -> None:
        """Return once it answers."""
        async with asyncio.timeout(RUNS_S):
            while True:
                try:
                    if (await self.served.ask("GET", "/readyz")).status == 200:
                        return
                except OSError:
                    await asyncio.sleep(0.1)


@pytest.fixture
async def hosted(stack: Stack) -> AsyncIterator[Hosted]:
    """The server as a job, on the shared cluster."""
    port = next(port for port in range(14000, 14900) if is_free(port))
    place = Path(tempfile.mkdtemp(prefix="yurt-hosted-"))
    found = Hosted(stack, place, port)
    try:
        yield found
    finally:
        await found.served.close()
        stack.nomad("DELETE", "/v1/job/yurt?purge=true")
        purge(stack)
        stack.nomad("DELETE", "/v1/var/nomad/jobs/yurt")
        shutil.rmtree(place)


def instances(stack: Stack) -> list[Any]:
    """Where Consul says that the server is."""
    found: list[Any] = call("GET", f"{stack.plan.consul_address}/v1/health/service/yurt?passing=true")
    return found


@pytest.mark.parametrize("name", ["control-plane.nomad.hcl"])
def test_job_specifications_are_valid(hosted: Hosted, name: str) -> None:
    assert "successful" in hosted.nomad("job", "validate", str(ROOT / "jobspecs" / name))


async def test_a_server_runs_on_the_cluster_that_it_uses_and_is_replaced_there(hosted: Hosted) -> None:
    await asyncio.to_thread(hosted.run)
    await hosted.ready()
    (found,) = instances(hosted.stack)
    assert (found["Service"]["Address"], found["Service"]["Port"]) == ("127.0.0.1", hosted.port)
    await hosted.served.deploy("hosted", SOURCE, "where", "rest")
    before = (await hosted.served.call("hosted:where", 1))["result"]
    spawned = await hosted.served.ask("POST", "/v1/functions/hosted:rest/spawn", {"args": [1]})

    await asyncio.to_thread(hosted.run, YURT_LOG_LEVEL="debug")
    await hosted.ready()
    after = (await hosted.served.call("hosted:where", 2))["result"]
    assert after["container"] == before["container"]
    ended = await hosted.served.ask("GET", f"/v1/function-calls/{spawned.json['call_id']}?wait=60")
    assert ended.json["result"]["number"] == 1
    assert len(instances(hosted.stack)) == 1
