"""The server and its OpenAPI document agree: schemathesis asks what the document allows, and what it does not."""

import asyncio
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = Path(__file__).parent / "documents.toml"
ROOT = CONFIG.parents[2]
SOURCE = "def work(*args, **kwargs):\n    return [args, kwargs]\n"


async def _made(server: Served, path: str, body: object) -> dict[str, str]:
    answer = await server.ask("POST", path, body)
    assert answer.status in {201, 202}, answer.text
    made: dict[str, str] = answer.json
    return made


async def things(server: Served) -> dict[str, str]:
    """Make what the configuration names, and say under which variables."""
    for app in ("asked", "filled", "spare"):
        await server.deploy(app, SOURCE, "work")
    await _made(server, "/v1/apps", {"name": "renewed", "ephemeral": True, "ttl": 86_400})
    call = await server.call("asked:work", 2)
    spare = (await server.ask("GET", "/v1/functions/spare:work")).json
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", SOURCE)
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    headers = {"Content-Type": "application/octet-stream"}
    put = await server.ask("PUT", f"/v1/bundles/{sha256}", data=packed.getvalue(), headers=headers)
    assert put.status == 201, put.text
    await server.ask("PUT", "/v1/environments/staging")
    await server.deploy("timed", SOURCE, "work", schedule={"period": {"years": 1}})
    schedules = (await server.ask("GET", "/v1/schedules?function_id=timed:work")).json["data"]
    containers = (await server.ask("GET", "/v1/containers?function_id=asked:work")).json["data"]
    return {
        "ASKING_TOKEN": server.token,
        "ASKED_CALL": call["call_id"],
        "ASKED_CONTAINER": containers[0]["container_id"],
        "ASKED_SCHEDULE": schedules[0]["schedule_id"],
        "ASKED_TOKEN": (await _made(server, "/v1/tokens", {"name": "asked", "role": "read"}))["token_id"],
        "ASKED_BUNDLE": sha256,
        "SPARE_APP": spare["app_id"],
        "SPARE_FUNCTION": spare["function_id"],
        "SPARE_TOKEN": (await _made(server, "/v1/tokens", {"name": "spare", "role": "read"}))["token_id"],
    }


async def schemathesis(server: Served, work: Path, *flags: str) -> tuple[int, str]:
    """Run it; how it ended and what it said."""
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", os.fspath(CONFIG), "run"]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.acceptance.documents_hooks", "PYTHONPATH": os.fspath(ROOT)}
    environment = {**os.environ, **await things(server), **hooks}
    process = await asyncio.create_subprocess_exec(
        *command,
        f"{server.url}/openapi.json",
        *flags,
        cwd=work,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_server_keeps_to_its_document(server: Served, tmp_path: Path) -> None:
    flags = ("--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--continue-on-failure")
    code, said = await schemathesis(server, tmp_path, *flags)
    assert code == 0, said
    assert (await server.ask("GET", "/readyz")).json["ready"] is True
