"""Inputs that share a container, over REST and with real containers: several at once, and batches."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import asyncio, os, time
import yurt_runner

running = 0

async def meet(word, others):
    global running
    running += 1
    print("hello", word)
    while running < others:
        await asyncio.sleep(0.002)
    print("bye", word)
    return [os.getpid(), yurt_runner.current().call_id]

def maybe_die(marker):
    with open(marker + ".runs", "a") as runs:
        runs.write("x")
    if marker.endswith("bad"):
        time.sleep(0.3)
        os._exit(7)
    time.sleep(1.0)
    return os.path.getsize(marker + ".runs")

def double(xs):
    return [[x * 2, len(xs)] for x in xs]

def short(xs):
    return xs[1:]

def loose(*xs):
    return xs

def count(n):
    for k in range(n):
        print("of", n)
        time.sleep(0.01)
        yield [n, k]

class Model:
    def load(self):
        self.loaded = os.getpid()

    def embed(self, texts):
        return [[len(text), len(texts), self.loaded] for text in texts]

class Meeting:
    def open(self):
        self.here = 0

    def meet(self, others):
        self.here += 1
        while self.here < others:
            time.sleep(0.002)
        return self.here
"""


async def test_many_calls_share_one_container_and_keep_their_lines(server: Served) -> None:
    await server.deploy("meets", SOURCE, "meet", concurrency={"max_inputs": 20}, max_containers=1)
    calls = await asyncio.gather(*(server.call("meets:meet", f"w{n}", 20) for n in range(20)))

    assert {call["status"] for call in calls} == {"success"}
    assert len({call["result"][0] for call in calls}) == 1, "one process ran them all"
    assert all(call["result"][1] == call["call_id"] for call in calls)
    for number in (0, 19):
        lines = await server.logs(f"/v1/function-calls/{calls[number]['call_id']}", f"bye w{number}")
        assert [line["text"] for line in lines] == [f"hello w{number}", f"bye w{number}"]
    stats = (await server.ask("GET", "/v1/functions/meets:meet/stats")).json
    assert (stats["input_headroom"], stats["calls"]["success"]) == (20, 20)


async def test_of_neighbours_in_a_crash_only_the_one_to_blame_fails(server: Served, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    await server.deploy("dies", SOURCE, "maybe_die", concurrency={"max_inputs": 3}, max_containers=1)
    names = [str(tmp_path / name) for name in ("one", "bad", "two")]
    one, bad, two = await asyncio.gather(*(server.call("dies:maybe_die", name) for name in names))

    assert (bad["status"], bad["error"]["outcome"], bad["error"]["exit_code"]) == ("failure", "crashed", 7)
    assert {call["status"] for call in (one, two)} == {"success"}
    assert (tmp_path / "bad.runs").stat().st_size == 2, "once among others, once alone"


async def test_inputs_are_batched_and_each_call_has_its_own_result(server: Served) -> None:
    batching = {"max_batch_size": 8, "wait_ms": 300}
    await server.deploy("batch", SOURCE, "double", batching=batching, max_containers=1)
    await server.call("batch:double", 1)
    calls = await asyncio.gather(*(server.call("batch:double", n) for n in range(16)))

    assert [call["result"] for call in calls] == [[n * 2, 8] for n in range(16)]


async def test_a_result_of_the_wrong_length_is_every_callers_error(server: Served) -> None:
    await server.deploy("short", SOURCE, "short", batching={"max_batch_size": 2, "wait_ms": 600_000})
    calls = await asyncio.gather(*(server.call("short:short", n) for n in range(2)))

    for call in calls:
        assert (call["error"]["outcome"], call["error"]["type"]) == ("user_error", "BatchResultError")
        assert "a batch of 2 inputs and returned a list of 1" in call["error"]["message"]


@pytest.mark.parametrize(
    ("function", "keys", "pointer"),
    [
        ("loose", {"batching": {"max_batch_size": 2, "wait_ms": 1}}, "/functions/loose/batching"),
        ("double", {"batching": {"max_batch_size": 0, "wait_ms": 1}}, "/functions/double/batching/max_batch_size"),
        (
            "double",
            {"concurrency": {"max_inputs": 2, "target_inputs": 3}},
            "/functions/double/concurrency/target_inputs",
        ),
    ],
)
async def test_what_cannot_be_is_refused(server: Served, function: str, keys: dict[str, object], pointer: str) -> None:
    await server.ask("POST", "/v1/apps", {"name": "refused"})
    definition = {"entrypoint": f"main:{function}", "source": {"files": {"main.py": SOURCE}}, **keys}
    answer = await server.ask("PUT", "/v1/apps/refused/functions", {"functions": {function: definition}})

    assert answer.status == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


async def test_a_method_is_batched(server: Served) -> None:
    await server.deploy(
        "models",
        SOURCE,
        "Model",
        kind="class",
        enter=["load"],
        methods=["embed"],
        batching={"max_batch_size": 3, "wait_ms": 600_000},
        max_containers=1,
    )
    bodies = [{"method": "embed", "args": ["x" * n]} for n in range(3)]
    answers = await asyncio.gather(
        *(server.ask("POST", "/v1/functions/models:Model/invocations", body) for body in bodies)
    )

    results = [answer.json["result"] for answer in answers]
    assert [result[:2] for result in results] == [[n, 3] for n in range(3)]
    assert len({result[2] for result in results}) == 1


async def test_methods_run_at_once_on_one_object(server: Served) -> None:
    keys = {"kind": "class", "enter": ["open"], "methods": ["meet"], "concurrency": {"max_inputs": 4}}
    await server.deploy("meeting", SOURCE, "Meeting", max_containers=1, **keys)
    body = {"method": "meet", "args": [4]}
    answers = await asyncio.gather(
        *(server.ask("POST", "/v1/functions/meeting:Meeting/invocations", body) for _ in range(4))
    )

    assert [answer.json["result"] for answer in answers] == [4] * 4


async def test_generators_run_at_once_and_keep_their_items_and_lines(server: Served) -> None:
    await server.deploy("counts", SOURCE, "count", max_containers=1, concurrency={"max_inputs": 5})
    calls = await asyncio.gather(*(server.call("counts:count", n) for n in range(20, 25)))

    assert [call["result"] for call in calls] == [[[n, k] for k in range(n)] for n in range(20, 25)]
    for n, call in zip(range(20, 25), calls, strict=True):
        lines = await server.logs(f"/v1/function-calls/{call['call_id']}", f"of {n}")
        assert {line["text"] for line in lines} == {f"of {n}"}
