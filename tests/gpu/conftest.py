"""What these tests need: a GPU, and an interpreter that can use it. Where either is missing they are skipped."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.served import Served, serving
from yurt.domain import gpu

PYTHON = os.environ.get("YURT_TEST_GPU_PYTHON", sys.executable)
"""Read here: later a test does not see the developer's settings."""

ASKED_S = 120
"""The first import of torch reads gigabytes."""


def asked(*command: str) -> subprocess.CompletedProcess[str]:
    """What a program of this machine says."""
    return subprocess.run(command, capture_output=True, text=True, timeout=ASKED_S, check=False)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a program that failed said in the end."""
    said = (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"
    return said.rpartition("\n")[2]


@pytest.fixture(scope="session")
def models() -> list[str]:
    """The product names of this machine's GPUs, of which torch can use some."""
    if shutil.which("nvidia-smi") is None:
        pytest.skip("no GPU: nvidia-smi is not on the PATH")
    found = asked("nvidia-smi", "--query-gpu=name,mig.mode.current", "--format=csv,noheader")
    if found.returncode != 0:
        pytest.skip(f"no GPU: nvidia-smi failed: {last_line(found)}")
    pairs = [line.rpartition(", ") for line in found.stdout.splitlines()]
    whole = [model for model, _, mig in pairs if mig != "Enabled"]
    if not whole:
        pytest.skip("no GPU: nvidia-smi found none that is whole")
    if shutil.which(PYTHON) is None:
        pytest.skip(f"YURT_TEST_GPU_PYTHON names no interpreter: {PYTHON}")
    build = asked(PYTHON, "-c", "import torch; print(torch.version.cuda or '')")
    if build.returncode != 0:
        pytest.skip(f"YURT_TEST_GPU_PYTHON names no interpreter with torch; {PYTHON} says: {last_line(build)}")
    if not build.stdout.strip():
        pytest.skip(f"the torch of {PYTHON} is not built for CUDA: YURT_TEST_GPU_PYTHON names another interpreter")
    return whole


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server whose functions have torch. GPUs that no type stands for are offered as L4."""
    odd = ",".join(f"{model}=L4" for model in sorted(set(models)) if gpu.type_of(model, {}) is None)
    flags = ("--gpu-models", odd) if odd else ()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("YURT_TEST_GPU_PYTHON", raising=False)  # a server refuses settings that it does not know
        async with serving(tmp_path_factory.mktemp("gpu"), "--python", PYTHON, *flags) as served:
            yield served


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def no_app_left(server: Served) -> AsyncIterator[None]:
    """Give the GPUs of a test back, also where it failed."""
    yield
    for app in (await server.ask("GET", "/v1/apps")).json["data"]:
        if app["state"] != "stopped":
            assert (await server.ask("DELETE", f"/v1/apps/{app['name']}")).status == 204
