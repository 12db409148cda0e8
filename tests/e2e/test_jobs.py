"""Yurt as a job of the cluster that it uses."""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scripts.stack.ports import is_free
from scripts.stack.stack import ROOT, Stack
from tests.acceptance.served import Served
from tests.e2e.yurts import SOURCE, purge, put_site

JOBS = ROOT / "jobspecs"
RUNS_S = 120
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
NO_NGINX = "no nginx is installed (Debian: apt-get install nginx-light)"


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

    def run(self, gateway_port: int = 0, **settings: str) -> None:
        """Run the job, or a new version of it, until its checks pass."""
        own = self.stack.environment()
        kept = {name: own[name] for name in ("YURT_NOMAD_DRIVER", "YURT_NOMAD_PYTHON", "YURT_CONSUL_ADDRESS")}
        variables = {
            "yurt": str(Path(sys.executable).with_name("yurt")),
            "user": "root",  # who can reach this checkout, wherever it is
            "data_dir": str(self.served.data),
            "port": str(self.port),
            "gateway_port": str(gateway_port),
            "nomad_address": self.stack.plan.nomad_address,
            "environment": json.dumps({**kept, **settings}),
        }
        tokens = f"token={self.stack.token()}", f"consul_token={self.stack.consul_tokens().yurt}"
        self.nomad("var", "put", "-force", "nomad/jobs/yurt", *tokens)
        self.run_job("control-plane.nomad.hcl", variables)

    def run_job(self, name: str, variables: dict[str, str], *flags: str) -> None:
        """Run one of Yurt's jobs, with its variables."""
        self.nomad(
            "job", "run", *flags, *(f"-var={name}={value}" for name, value in variables.items()), str(JOBS / name)
        )

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
    port = free_port()
    place = Path(tempfile.mkdtemp(prefix="yurt-hosted-"))
    found = Hosted(stack, place, port)
    try:
        yield found
    finally:
        await found.served.close()
        for job in ("yurt", "yurt-gateway"):
            stack.nomad("DELETE", f"/v1/job/{job}?purge=true")
        purge(stack)
        stack.nomad("DELETE", "/v1/var/nomad/jobs/yurt")
        shutil.rmtree(place)


def free_port() -> int:
    """One that nobody uses, and that is not given to anybody by chance."""
    return next(port for port in random.sample(range(14000, 14900), 900) if is_free(port))


def instances(stack: Stack) -> list[Any]:
    """Where Consul says that the server is."""
    found: list[Any] = stack.consul("GET", "/v1/health/service/yurt?passing=true")
    return found


@pytest.mark.parametrize("name", ["control-plane.nomad.hcl", "gateway.nomad.hcl"])
def test_job_specifications_are_valid(hosted: Hosted, name: str) -> None:
    assert "successful" in hosted.nomad("job", "validate", str(JOBS / name))


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


async def test_requests_come_in_by_the_gateways_of_the_nodes(hosted: Hosted) -> None:
    if NGINX is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_NGINX)
    port = free_port()
    await asyncio.to_thread(hosted.run, free_port())
    await hosted.ready()
    variables = {"nginx": NGINX, "user": "root", "port": str(port)}
    # Not waited for: the nodes of this cluster are one machine, where only one of them can have the port.
    await asyncio.to_thread(hosted.run_job, "gateway.nomad.hcl", variables, "-detach")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:

        async def answers(status: int, label: str = "nothing") -> str:
            async with asyncio.timeout(RUNS_S):
                while True:
                    try:
                        async with http.get(f"http://127.0.0.1:{port}/web/{label}/") as answer:
                            if answer.status == status:
                                return await answer.text()
                    except aiohttp.ClientError:
                        pass  # it does not listen yet
                    await asyncio.sleep(0.1)

        assert "There is no endpoint" in await answers(404)
        await put_site(hosted.served, "1")
        assert (await answers(200, "site--pages")).startswith("co-")
        hosted.stack.nomad("DELETE", "/v1/job/yurt")
        await answers(502)
