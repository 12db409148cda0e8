"""GPUs on a real server, of a machine that only says that it has some."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.served import Served, command, serving
from tests.component.engine.nvidia import install

SOURCE = """
import os

def seen():
    return os.environ.get("CUDA_VISIBLE_DEVICES")
"""


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    install(tmp_path, monkeypatch, "NVIDIA H100 PCIe", "NVIDIA H100 PCIe", "NVIDIA A40")
    async with serving(tmp_path) as served:
        yield served


async def test_who_has_gpus_and_who_waits_for_them(server: Served) -> None:
    await server.deploy("first", SOURCE, "seen", gpu="h100:2", scaledown_window=600)
    await server.deploy("second", SOURCE, "seen", gpu=["T4", "H100"])
    assert (await server.call("first:seen"))["result"] == "GPU-0,GPU-1"

    found = (await server.ask("GET", "/v1/capacity")).json
    (held,) = found["gpus"][0].pop("held_by")
    assert found["gpus"] == [{"type": "H100", "total": 2, "free": 0}]
    assert found["unmapped"] == [{"model": "NVIDIA A40", "count": 1}]
    assert (held["function"], held["environment"], held["count"]) == ("first:seen", "main", 2)
    shown = await command("capacity", "--url", server.url, "--token", server.token)
    assert f"first:seen ({held['container_id']}): 2" in shown.out

    spawned = (await server.ask("POST", "/v1/functions/second:seen/spawn", {})).json["call_id"]
    waits = await server.waits_with(spawned, "no_capacity")
    assert waits["message"] == "second:seen asks for T4 or H100. All 2 H100 of this machine are in use."
    assert waits["details"] == {"gpu": "H100:1", "total": 2, "free": 0}
    assert (await server.ask("DELETE", "/v1/apps/first")).status == 204
    ended = (await server.ask("GET", f"/v1/function-calls/{spawned}?wait=30")).json
    assert (ended["status"], ended["result"]) == ("success", "GPU-0")


async def test_a_gpu_that_is_not_there_is_said_at_the_deploy_and_by_the_call(server: Served) -> None:
    await server.ask("POST", "/v1/apps", {"name": "app"})
    definition = {"entrypoint": "main:seen", "source": {"files": {"main.py": SOURCE}}, "gpu": "T4:2"}
    made = await server.ask("PUT", "/v1/apps/app/functions/seen", definition)
    assert [(one["code"], one["pointer"]) for one in made.json["warnings"]] == [("no_such_gpu", "/gpu")]
    spawned = (await server.ask("POST", "/v1/functions/app:seen/spawn", {})).json["call_id"]
    waits = await server.waits_with(spawned, "no_such_gpu")
    assert "This machine has no T4:2: it has 2 H100;" in waits["message"]


async def test_who_else_holds_gpus_is_not_told_across_environments(server: Served) -> None:
    assert (await server.ask("PUT", "/v1/environments/staging")).status in {200, 201}
    bound = (await server.ask("POST", "/v1/tokens", {"name": "b", "role": "read", "environment": "staging"})).json
    await server.deploy("first", SOURCE, "seen", gpu="h100", scaledown_window=600)
    await server.call("first:seen")
    headers = {"Authorization": f"Bearer {bound['token_id']}:{bound['token_secret']}"}
    found = (await server.ask("GET", "/v1/capacity", headers=headers)).json
    assert found["gpus"] == [{"type": "H100", "total": 2, "free": 1, "held_by": []}]
