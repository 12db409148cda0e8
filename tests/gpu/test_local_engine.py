"""Functions that compute on a real GPU, with torch, on the local engine."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.served import Served
from tests.waiting import until
from yurt.domain import gpu

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMORY_MIB = 4096
"""What docs/gpus.md says to begin with."""

SOURCE = """
import os, time

def seen():
    import torch
    if not torch.cuda.is_available():
        return {"devices": torch.cuda.device_count()}
    ones = torch.ones(1000, device="cuda").sum().item()
    return {"devices": torch.cuda.device_count(), "name": torch.cuda.get_device_name(0), "ones": ones}

def asks_for_too_much():
    import torch
    torch.empty(1 << 40, dtype=torch.uint8, device="cuda")

def holds(mib, gate):
    import torch
    kept = torch.empty(mib << 20, dtype=torch.uint8, device="cuda").fill_(1)
    torch.cuda.synchronize()
    while not os.path.exists(gate):
        time.sleep(0.01)
    return {"pid": os.getpid(), "gpu": os.environ["CUDA_VISIBLE_DEVICES"], "mib": len(kept) >> 20}

def steps(count):
    import torch
    total = torch.zeros(1, device="cuda")
    for step in range(count):
        total += step
        yield total.item()

class Model:
    def load(self):
        import torch
        self.torch = torch
        self.model = torch.nn.Linear(8, 1, bias=False).cuda()
        torch.nn.init.ones_(self.model.weight)
        self.served = 0

    def run(self, value):
        self.served += 1
        with self.torch.inference_mode():
            return [self.model(self.torch.full((1, 8), value, device="cuda")).item(), self.served]
"""


async def types(server: Served) -> dict[str, int]:
    """How many GPUs of each type the server offers."""
    stocks = (await server.ask("GET", "/v1/capacity")).json["gpus"]
    return {stock["type"]: stock["total"] for stock in stocks}


async def deploy(server: Served, app: str, name: str, **keys: object) -> None:
    """A function with one GPU and the memory of the documents, unless `keys` say otherwise."""
    usual: dict[str, object] = {"gpu": list(await types(server)), "memory": MEMORY_MIB}
    await server.deploy(app, SOURCE, name, **usual | keys)


async def spawn(server: Served, address: str, *args: object) -> str:
    """Begin a call."""
    spawned = await server.ask("POST", f"/v1/functions/{address}/spawn", {"args": args})
    call_id: str = spawned.json["call_id"]
    return call_id


async def ended(server: Served, call_id: str) -> Any:
    """A call, once it has ended."""
    return (await server.ask("GET", f"/v1/function-calls/{call_id}?wait=50")).json


def memory_mib(name: str, which: str) -> int:
    """What the driver says of the memory of a GPU: `used` or `free`."""
    words = ["nvidia-smi", f"--id={name}", f"--query-gpu=memory.{which}", "--format=csv,noheader,nounits"]
    return int(subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout)


async def test_torch_computes_on_the_gpu_with_the_memory_of_the_documents(server: Served, models: list[str]) -> None:
    await deploy(server, "seen", "seen")
    call = await server.call("seen:seen")
    assert call["status"] == "success", call
    assert (call["result"]["devices"], call["result"]["ones"]) == (1, 1000)
    assert call["result"]["name"] in models


async def test_the_default_memory_is_enough_or_the_error_says_what_to_raise(server: Served) -> None:
    await server.deploy("seen", SOURCE, "seen", gpu=list(await types(server)))
    call = await server.call("seen:seen")
    if call["status"] == "success":  # that depends on the build of torch
        assert call["result"]["devices"] == 1
    else:
        assert call["error"]["outcome"] == "out_of_memory", call
        assert "memory limit of 512 MiB. Raise `memory`" in call["error"]["message"]


async def test_a_function_that_asks_for_no_gpu_sees_none(server: Served) -> None:
    await server.deploy("blind", SOURCE, "seen", memory=MEMORY_MIB)
    call = await server.call("blind:seen")
    assert call.get("result") == {"devices": 0}, call


async def test_a_second_function_waits_until_the_gpus_are_free(server: Served) -> None:
    name, total = next(iter((await types(server)).items()))
    if total > gpu.MAX_COUNT:
        pytest.skip(f"no container can have all {total} GPUs of this machine")
    await deploy(server, "first", "seen", gpu=f"{name}:{total}", scaledown_window=600)
    assert (await server.call("first:seen"))["result"]["devices"] == total
    await deploy(server, "second", "seen", gpu=name)
    spawned = await spawn(server, "second:seen")
    waits = await server.waits_with(spawned, "no_capacity")
    assert waits["details"] == {"gpu": f"{name}:1", "total": total, "free": 0}
    assert (await server.ask("DELETE", "/v1/apps/first")).status == 204
    call = await ended(server, spawned)
    assert call["status"] == "success", call
    assert call["result"]["ones"] == 1000


async def test_a_gpu_that_is_not_there(server: Served) -> None:
    has = await types(server)
    await deploy(server, "nowhere", "seen", gpu=next(name for name in gpu.MODELS if name not in has))
    waits = await server.waits_with(await spawn(server, "nowhere:seen"), "no_such_gpu")
    assert "This machine has no " in waits["message"]


async def test_what_does_not_fit_the_gpu_is_an_error_of_the_function(server: Served) -> None:
    await deploy(server, "large", "asks_for_too_much")
    call = await server.call("large:asks_for_too_much")
    assert (call["status"], call["error"]["outcome"]) == ("failure", "user_error"), call
    assert "CUDA out of memory" in call["error"]["message"]


async def test_what_a_killed_container_held_is_free_for_the_next(server: Served, tmp_path: Path) -> None:
    """It takes more than half of what is free, so that the next, which repeats the call, fits only without it."""
    await deploy(server, "holder", "holds")
    first = (await server.call("holder:holds", 1, "/"))["result"]
    before, share = memory_mib(first["gpu"], "used"), memory_mib(first["gpu"], "free") * 3 // 4
    gate = tmp_path / "gate"
    spawned = await spawn(server, "holder:holds", share, str(gate))
    await until(lambda: memory_mib(first["gpu"], "used") >= before + share, "the GPU's memory in use")
    os.kill(first["pid"], signal.SIGKILL)
    gate.touch()
    call = await ended(server, spawned)
    assert (call["status"], call["attempts"]) == ("success", 2), call
    assert call["result"]["mib"] == share
    assert call["result"]["pid"] != first["pid"]
    assert (await server.ask("DELETE", "/v1/apps/holder")).status == 204
    await until(lambda: memory_mib(first["gpu"], "used") <= before, "the GPU's memory free again")


async def test_a_class_keeps_its_model_on_the_gpu(server: Served) -> None:
    await deploy(server, "model", "Model", kind="class", methods=["run"], enter=["load"])
    for served, value in enumerate((1.0, 2.0), start=1):
        body = {"method": "run", "args": [value]}
        call = (await server.ask("POST", "/v1/functions/model:Model/invocations", body)).json
        assert call.get("result") == [8 * value, served], call


async def test_a_generator_yields_from_the_gpu(server: Served) -> None:
    await deploy(server, "steps", "steps")
    call = await server.call("steps:steps", 4)
    assert call.get("result") == [0, 1, 3, 6], call
