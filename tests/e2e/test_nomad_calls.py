"""Calls through containers of a real Nomad cluster."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.acceptance.served import Served
from tests.e2e.conftest import WORK, Cluster
from tests.e2e.yurts import runs, spawn, waits_for
from tests.waiting import until

LONG_S = 60.0


async def state(server: Served, call_id: str, *, wait_s: int = 0) -> Any:
    """A call as it is, or as it has ended within a time."""
    return (await server.ask("GET", f"/v1/function-calls/{call_id}?wait={wait_s}")).json


async def held(serve: Callable[..., Served], gate: Path) -> tuple[Served, str]:
    """A server, and a call that runs on its cluster until there is a file."""
    server = await serve().start()
    await server.deploy("work", WORK, "hold", memory=64)
    call_id = await spawn(server, "work:hold", str(gate))
    await runs(server, call_id, LONG_S)
    return server, call_id


async def test_a_call_a_map_and_what_functions_may_not_see(serve: Callable[..., Served], cluster: Cluster) -> None:
    server = await serve().start()
    await server.deploy("work", WORK, "pid", "square", "environ", memory=64)
    assert (await server.call("work:pid"))["status"] == "success"
    mapped = await server.ask("POST", "/v1/functions/work:square/map", {"inputs": [{"args": [n]} for n in range(200)]})
    results = [json.loads(line)["result"] for line in mapped.text.splitlines() if line]
    assert results == [n * n for n in range(200)]
    seen = (await server.call("work:environ"))["result"]
    assert not {name for name in seen if "TOKEN" in name or name in {"NOMAD_UNIX_ADDR", "YURT_START", "YURT_HIDDEN"}}
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert not any(value.startswith("eyJ") for value in seen.values())
    assert {job["Meta"]["yurt_app"] for job in cluster.jobs(server)} == {"work"}


async def test_a_killed_server_finds_what_runs_and_nothing_runs_twice(
    serve: Callable[..., Served], cluster: Cluster, tmp_path: Path
) -> None:
    server, call_id = await held(serve, tmp_path / "gate")
    (before,) = cluster.containers(server)
    await server.kill()
    await server.start()
    assert (await state(server, call_id))["status"] in {"pending", "running"}
    (tmp_path / "gate").touch()
    ended = await state(server, call_id, wait_s=30)
    assert (ended["status"], ended["attempts"]) == ("success", 1)
    assert [one["ID"] for one in cluster.containers(server)] == [before["ID"]]
    assert psutil.pid_exists(ended["result"])


async def test_containers_outlive_a_stop_of_the_server(
    serve: Callable[..., Served], cluster: Cluster, tmp_path: Path
) -> None:
    server, call_id = await held(serve, tmp_path / "gate")
    assert await server.stop() == 0
    assert len(cluster.containers(server)) == 1
    (tmp_path / "gate").touch()
    await server.start()
    ended = await state(server, call_id, wait_s=30)
    assert (ended["status"], ended["attempts"]) == ("success", 1)


async def test_a_cancelled_call_a_new_revision_and_a_deleted_function(
    serve: Callable[..., Served], cluster: Cluster, tmp_path: Path
) -> None:
    server = await serve().start()
    await server.deploy("work", WORK, "hold", memory=64)
    call_id = await spawn(server, "work:hold", str(tmp_path / "never"))
    await runs(server, call_id, LONG_S)
    assert (await server.ask("POST", f"/v1/function-calls/{call_id}/cancel", {})).status in {200, 202}
    assert (await state(server, call_id, wait_s=30))["status"] == "terminated"
    (tmp_path / "gate").touch()
    first = await server.call("work:hold", str(tmp_path / "gate"))
    await server.deploy("work", WORK, "hold", memory=65)
    second = await server.call("work:hold", str(tmp_path / "gate"))
    assert first["status"] == second["status"] == "success"
    await until(lambda: len(cluster.containers(server)) == 1, "the end of the old revision's container")
    assert (await server.ask("DELETE", "/v1/apps/work")).status in {200, 202, 204}
    await until(lambda: cluster.containers(server) == [], "the end of all containers")


async def test_a_crash_is_told_with_the_signal(serve: Callable[..., Served]) -> None:
    server = await serve().start()
    source = "import os, signal\ndef die():\n    os.kill(os.getppid(), signal.SIGKILL)\n    signal.pause()\n"
    await server.deploy("work", source, "die", memory=64)
    ended = await server.call("work:die")
    assert ended["status"] == "failure"
    assert "SIGKILL" in str(ended["error"]) or "137" in str(ended["error"])


async def test_gpus_are_given_waited_for_and_given_back(
    serve: Callable[..., Served], cluster: Cluster, tmp_path: Path
) -> None:
    server = await serve().start()
    source = "import os, time\ndef gpus(gate):\n    while not os.path.exists(gate):\n        time.sleep(0.01)\n"
    source += "    return os.environ['CUDA_VISIBLE_DEVICES'].split(',')\n"
    keys = {"gpu": ["B200:2", "H100:2"], "memory": 64, "scaledown_window": 2, "max_containers": 2}
    await server.deploy("work", source, "gpus", **keys)
    gate = str(tmp_path / "gate")
    first, second = await spawn(server, "work:gpus", gate), await spawn(server, "work:gpus", gate)
    await runs(server, first, LONG_S)
    why = await waits_for(server, second, "no_capacity", within_s=LONG_S)
    assert why["message"] == "All 2 H100 of this cluster are in use."
    assert why["details"]["total"] == 2
    capacity = (await server.ask("GET", "/v1/capacity")).json
    h100 = next(stock for stock in capacity["gpus"] if stock["type"] == "H100")
    assert (h100["total"], h100["free"], len(h100["held_by"])) == (2, 0, 1)
    (tmp_path / "gate").touch()
    results = [(await state(server, call_id, wait_s=30))["result"] for call_id in (first, second)]
    assert all(len(found) == 2 and all(one.startswith("GPU-") for one in found) for found in results)


async def test_a_gpu_that_is_nowhere_is_warned_of_and_told(serve: Callable[..., Served]) -> None:
    server = await serve().start()
    source = {"files": {"main.py": WORK}}
    await server.ask("POST", "/v1/apps", {"name": "work"})
    made = await server.ask(
        "PUT", "/v1/apps/work/functions/pid", {"entrypoint": "main:pid", "source": source, "gpu": "B200", "memory": 64}
    )
    assert [warning["code"] for warning in made.json["warnings"]] == ["no_such_gpu"]
    why = await waits_for(server, await spawn(server, "work:pid"), "no_such_gpu", within_s=LONG_S)
    assert "1 L4" in why["message"]
    assert "2 H100" in why["message"]


async def test_what_is_not_there_to_run_with_is_a_reason_to_wait(serve: Callable[..., Served]) -> None:
    server = await serve("--nomad-python", "/nowhere/python3").start()
    await server.deploy("work", WORK, "pid", memory=64)
    why = await waits_for(server, await spawn(server, "work:pid"), "start_refused", within_s=LONG_S)
    assert "/nowhere/python3" in why["message"]


async def test_a_container_that_is_ended_behind_the_servers_back_is_replaced(
    serve: Callable[..., Served], cluster: Cluster
) -> None:
    server = await serve().start()
    await server.deploy("work", WORK, "pid", memory=64)
    first = await server.call("work:pid")
    (container,) = cluster.containers(server)
    cluster.stack.nomad("DELETE", f"/v1/job/{container['JobID'].replace('/', '%2F')}?purge=true")
    await until(lambda: cluster.containers(server) == [], "its end")
    async with asyncio.timeout(60):
        while True:  # forgotten by Nomad, the process lives for a moment yet, and may answer
            again = await server.call("work:pid")
            assert again["status"] == "success"
            if again["result"] != first["result"]:
                break
