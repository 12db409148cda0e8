"""A site of Nomad engines on a real cluster."""

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from scripts.stack.stack import Stack
from tests.contract.engine.harness import Site
from tests.contract.engine.stand_ins import packed
from yurt.domain.errors import Unauthenticated
from yurt.outbound.engines.nomad import NomadEngine, NomadSettings

KILL_TIMEOUT_S = 1


class Runners:
    """Serves stand-ins where a server would serve the runner."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.url = ""

    def add(self, data: bytes) -> str:
        """Serve one; returns its hash."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.files[f"{sha256}.pyz"] = data
        return sha256

    async def fetch(self, request: web.Request) -> web.Response:
        """The handler."""
        return web.Response(body=self.files[request.match_info["name"]])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve on a port of the loopback."""
        app = web.Application()
        app.router.add_get("/runner/{name}", self.fetch)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield
        await runner.cleanup()


@asynccontextmanager
async def nomad_site(stack: Stack, python: Path) -> AsyncIterator[Site]:
    """A site whose containers and jobs are all gone at the end."""
    runners = Runners()
    root = Path(tempfile.mkdtemp(prefix="yurt-site-"))
    root.chmod(0o777)
    installation = secrets.token_hex(4)

    def make(program: str) -> NomadEngine:
        return NomadEngine(
            NomadSettings(
                installation=installation,
                public_url=runners.url,
                runner_sha256=runners.add(packed(program, root)),
                grace_s=7,
                kill_timeout_s=KILL_TIMEOUT_S,
                address=stack.plan.nomad_address,
                token=stack.token,
                driver="raw_exec",
                python=str(python),
                mhz_per_core=800,
            )
        )

    async def knows(container_id: str, credential: str) -> bool:
        engine = site.opened[-1]
        assert isinstance(engine, NomadEngine)
        try:
            await engine.identities.vouch(container_id, credential)
        except Unauthenticated:
            return False
        return True

    async with runners.serving():
        site = Site(root, installation, make, runners.url, knows)
        yield site
        for engine in site.opened:
            await engine.close(stop_all=True)
    jobs = stack.nomad("GET", f"/v1/jobs?prefix=yurt-{installation}-")
    assert [job["ID"] for job in jobs if job["ParentID"] and job["Status"] != "dead" and not job["Stop"]] == []
    for job in sorted(jobs, key=lambda job: -len(job["ID"])):
        stack.nomad("DELETE", f"/v1/job/{job['ID'].replace('/', '%2F')}?purge=true")
    shutil.rmtree(root)
