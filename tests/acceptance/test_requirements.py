"""Functions with requirements on a real server, with the interpreter's own pip, from a folder of packages."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.acceptance import wheels
from tests.acceptance.served import Served, command
from tests.contract.engine.conftest import SYSTEM_PYTHON

SOURCE = """
import os, sys

def versions():
    import paint, water
    return [paint.VERSION, water.VERSION]

def prefix():
    return sys.prefix

def variables():
    return {name: os.environ.get(name) for name in ("PIP_FIND_LINKS", "HUSH")}

def writable():
    import paint
    return os.access(paint.__file__, os.W_OK) or os.access(os.path.dirname(paint.__file__), os.W_OK)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can pass through."""
    path = Path(tempfile.mkdtemp(prefix="yurt-served-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def server(place: Path) -> AsyncIterator[Served]:
    packages = place / "packages"
    wheels.make(packages, "paint", "1.0", "water>=2")
    wheels.make(packages, "paint", "1.1", "water>=2")
    wheels.make(packages, "water", "2.5")
    python = SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else shutil.which("python3")
    flags = ("--python", os.fspath(python or ""), "--requirements-env", "PIP_FIND_LINKS,PIP_NO_INDEX")
    environment = {"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": os.fspath(packages), "HUSH": "hush"}
    served = Served(place, flags, environment)
    try:
        yield await served.start()
    finally:
        await served.close()


def environments(server: Served) -> list[str]:
    return [path.name for path in (server.place / "run" / "environments").glob("*/*")]


async def test_functions_have_what_they_require_and_share_it(server: Served) -> None:
    names = ("versions", "prefix", "variables", "writable")
    await server.deploy("app", SOURCE, *names, requirements=["paint==1.*"])
    await server.deploy("other", SOURCE, "prefix", requirements=["Paint == 1.*"])
    calls = await asyncio.gather(*(server.call(f"app:{name}") for name in names), server.call("other:prefix"))
    versions, prefix, variables, writable, other = [call["result"] for call in calls]
    assert versions == ["1.1", "2.5"]
    assert prefix == other
    assert variables == {"PIP_FIND_LINKS": None, "HUSH": None}
    assert not writable
    assert len(environments(server)) == 2
    lines = await server.logs("/v1/functions/app:versions", "The environment is ready")
    assert lines[0]["stream"] == "system"
    assert any("Successfully installed paint-1.1 water-2.5" in line["text"] for line in lines)
    (line, *_) = await server.logs(f"/v1/containers/{lines[0]['container_id']}", "The environment is ready")
    assert line["text"] == "Preparing an environment with pip: paint==1.*"


async def test_what_is_not_there_fails_the_first_call_and_a_deploy_repairs_it(server: Served) -> None:
    await server.deploy("app", SOURCE, "versions", requirements=["paint==9", "water"])
    failed = await server.call("app:versions")
    assert failed["error"]["outcome"] == "init_failure"
    assert failed["error"]["type"] == "EnvironmentFailed"
    assert "No matching distribution found for paint==9" in failed["error"]["message"]
    shown = (await server.ask("GET", "/v1/functions/app:versions")).json
    assert shown["deploy_error"]["type"] == "EnvironmentFailed"
    assert environments(server) == []
    await server.deploy("app", SOURCE, "versions", requirements=["paint==1.0", "water"])
    assert (await server.call("app:versions"))["result"] == ["1.0", "2.5"]


async def test_a_server_that_is_killed_while_packages_are_installed_leaves_nothing_half(server: Served) -> None:
    await server.deploy("app", SOURCE, "versions", requirements=["paint"])
    call_id = (await server.ask("POST", "/v1/functions/app:versions/spawn", {})).json["call_id"]
    async with asyncio.timeout(30):
        while len(environments(server)) < 2:  # it, and the installer's own
            await asyncio.sleep(0.01)
    call = (await server.ask("GET", f"/v1/function-calls/{call_id}")).json
    assert call["pending_reason"]["code"] == "preparing_environment"
    assert "yurt logs -f app:versions" in call["pending_reason"]["message"]
    assert call["pending_reason"]["since"]

    await server.kill()
    assert not any(name.endswith(".ready") for name in environments(server))
    await server.start()
    ended = (await server.ask("GET", f"/v1/function-calls/{call_id}?wait=60")).json
    assert (ended["status"], ended["result"]) == ("success", ["1.1", "2.5"])
    key, marker = sorted(environments(server))
    assert marker == f"{key}.ready"


async def test_the_command_line_deploys_requirements_and_names_a_wrong_one(server: Served, tmp_path: Path) -> None:
    words = ("--url", server.url, "--token", server.token)
    (tmp_path / "main.py").write_text(SOURCE)
    manifest = 'app = "app"\n\n[functions.versions]\nentrypoint = "main:versions"\nrequirements = ["-r x.txt"]\n'
    (tmp_path / "yurt.toml").write_text(manifest)
    wrong = await command("deploy", tmp_path, *words)
    assert wrong.code == 2
    assert "yurt.toml:5" in wrong.err
    assert "not an option of an installer" in wrong.err
    (tmp_path / "yurt.toml").write_text(manifest.replace("-r x.txt", "paint==1.0"))
    assert (await command("deploy", tmp_path, *words)).code == 0
    assert (await server.call("app:versions"))["result"] == ["1.0", "2.5"]
