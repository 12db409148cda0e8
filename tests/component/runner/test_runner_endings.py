"""How a worker ends, and what its runner says of it."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.component.runner.conftest import Container
from tests.waiting import until
from yurt_runner import wire


async def bye_of(container: Container) -> dict[str, object]:
    return (await container.server.frame(wire.BYE)).header()


@pytest.mark.parametrize("code", [0, 3])
async def test_an_exit_is_a_crash_with_its_code_and_last_output(container: Container, code: int) -> None:
    server = await container.start("import os\ndef f(n):\n    print('last words')\n    os._exit(n)")
    await server.send(server.input_frame(1, code), server.input_frame(2, 0), server.input_frame(3, 0))

    outcome, error = await server.result(1)

    assert (outcome, error["exit_code"]) == ("crashed", code)
    assert "last words" in error["last_output"]
    assert await bye_of(container) == {"reason": "worker_exited", "exit_code": code}
    assert [frame.seq for frame in server.heard(wire.RETURN)] == [2, 3]
    assert (await container.ended())[0] == 1


async def test_a_segfault_names_its_signal_and_line(container: Container) -> None:
    server = await container.start("import ctypes\ndef f():\n    ctypes.string_at(0)")

    outcome, error = await server.call(1)

    assert (outcome, error["signal"]) == ("crashed", "SIGSEGV")
    assert "SIGSEGV" in error["message"]
    assert "main.py" in error["last_output"]
    await container.ended()


async def test_a_sigkill_proves_nothing(container: Container) -> None:
    server = await container.start("import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGKILL)")
    await server.send(server.input_frame(1), server.input_frame(2))

    assert await bye_of(container) == {"reason": "worker_killed", "signal": "SIGKILL"}
    await container.ended()
    assert server.heard(wire.OUTPUT) == []
    assert [frame.seq for frame in server.heard(wire.RETURN)] == [2]


async def test_a_worker_that_ends_idle_leaves_no_output(container: Container) -> None:
    source = "import os, threading\ndef f():\n    threading.Timer(0.5, os._exit, [4]).start()\n    return 1"
    server = await container.start(source)

    assert await server.call(1) == ("success", 1)
    assert await bye_of(container) == {"reason": "worker_exited", "exit_code": 4}
    assert len(server.heard(wire.OUTPUT)) == 1
    await container.ended()


async def test_a_forked_child_cannot_answer(container: Container) -> None:
    source = "import os\ndef f():\n    return os.fork() > 0"
    server = await container.start(source)

    assert await server.call(1) == ("success", True)
    assert await server.call(2) == ("success", True)
    assert len(server.heard(wire.OUTPUT)) == 2


async def test_children_of_every_kind_end_with_the_worker(container: Container, tmp_path: Path) -> None:
    source = """
import os, subprocess, sys, time
def nap():
    time.sleep(600)
def f(exit):
    pids = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid]
    pids.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True).pid)
    for leave_session in (False, True):
        pid = os.fork()
        if not pid:
            if leave_session:
                os.setsid()
            time.sleep(600)
        pids.append(pid)
    with open("pids", "w") as file:
        file.write(" ".join(map(str, pids)))
    if exit:
        os._exit(1)
    return pids
"""
    server = await container.start(source)
    await server.call(1, True)
    await container.ended()

    pids = [int(pid) for pid in (tmp_path / "src" / "pids").read_text().split()]
    assert len(pids) == 4
    await until(lambda: not any(map(alive, pids)), "the end of the children")


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_worker_does_not_outlive_a_killed_supervisor(container: Container) -> None:
    source = "import os, time\ndef f():\n    os.fork()\n    time.sleep(600)"
    server = await container.start(source)
    await server.input(1)
    await server.frame(wire.STARTED, 1)
    worker = psutil.Process(container.worker_pid())
    await until(lambda: len(worker.children()) == 1, "the worker's child")
    family = [worker, *worker.children()]

    os.kill(container.pid, signal.SIGKILL)

    await until(lambda: not any(alive(one.pid) for one in family), "the end of the worker and its child")


async def test_memory_beyond_the_limit_is_refused_and_the_worker_goes_on(container: Container) -> None:
    server = await container.start("def f(mib): return len(bytearray(mib << 20))", memory_mib=128)

    outcome, error = await server.call(1, 200)

    assert (outcome, error["limit_mib"]) == ("out_of_memory", 128)
    assert "128 MiB" in error["message"]
    assert await server.call(2, 1) == ("success", 1 << 20)


MAPS = """
import mmap
def f(mib):
    return len(mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
def g(mib):
    taken = bytearray(mib << 20)
    import time
    time.sleep(600)
"""


async def test_what_libraries_map_is_refused_beyond_the_limit_and_the_error_says_so(container: Container) -> None:
    server = await container.start(MAPS, memory_mib=128)

    outcome, error = await server.call(1, 1024)

    assert (outcome, error["type"]) == ("user_error", "OSError")
    assert error["message"].startswith("[Errno 12] Cannot allocate memory. The memory limit of 128 MiB may be why")


async def test_a_crash_for_want_of_memory_is_told_with_the_limit(container: Container) -> None:
    source = "import os, sys\ndef f():\n    os.write(2, b'libgomp: Thread creation failed\\n')\n    os._exit(1)"
    server = await container.start(source, memory_mib=128)

    outcome, error = await server.call(1)

    assert outcome == "crashed"
    assert "code 1 while it ran the function. The memory limit of 128 MiB may be why" in error["message"]


async def test_with_a_gpu_libraries_map_what_they_like(container: Container) -> None:
    server = await container.start(MAPS, memory_mib=128, gpu=True)

    assert await server.call(1, 1024) == ("success", 1024 << 20)


async def test_with_a_gpu_memory_that_is_used_counts_as_ever(container: Container) -> None:
    server = await container.start(MAPS, "main:g", memory_mib=128, gpu=True)

    outcome, error = await server.call(1, 200)

    assert (outcome, error["limit_mib"]) == ("out_of_memory", 128)
    assert (await bye_of(container))["reason"] == "out_of_memory"
    await container.ended()


async def test_arguments_too_large_for_the_limit_are_the_inputs_fault(container: Container) -> None:
    server = await container.start("def f(x): return 1", memory_mib=48)
    await server.send(server.input_frame(1, "x" * (20 << 20)), server.input_frame(2, "x"))

    outcome, error = await server.result(1)

    assert (outcome, error["limit_mib"]) == ("out_of_memory", 48)


async def test_memory_of_children_counts_too(container: Container) -> None:
    source = """
import subprocess, sys, time
CHILD = "import time; x = bytearray(70 << 20); time.sleep(600)"
def f():
    children = [subprocess.Popen([sys.executable, "-c", CHILD]) for _ in range(3)]
    time.sleep(600)
"""
    server = await container.start(source, memory_mib=128)

    outcome, error = await server.call(1)

    assert (outcome, error["limit_mib"]) == ("out_of_memory", 128)
    assert (await bye_of(container))["reason"] == "out_of_memory"
    await container.ended()


async def test_pages_shared_by_forks_count_once(container: Container) -> None:
    source = """
import os, time
def f():
    block = bytearray(b"x" * (80 << 20))
    pids = [os.fork() for _ in range(2)]
    if 0 in pids:
        time.sleep(600)
    time.sleep(2.5)
    for pid in pids:
        os.kill(pid, 9)
    return len(block)
"""
    server = await container.start(source, memory_mib=256)

    assert await server.call(1) == ("success", 80 << 20)


async def test_a_worker_without_descriptors_is_ended(container: Container) -> None:
    server = await container.start("import os, time\ndef f():\n    os.closerange(3, 256)\n    time.sleep(600)")

    outcome, error = await server.call(1)

    assert outcome == "crashed"
    assert "descriptors" in error["message"]
    await container.ended()


async def test_outputs_before_a_crash_are_not_lost(container: Container) -> None:
    server = await container.start("import os\ndef f(n):\n    if n == 50: os._exit(9)\n    return n")
    await server.send(*(server.input_frame(seq, seq) for seq in range(1, 101)))

    await bye_of(container)

    outputs = {frame.seq: wire.OUTCOMES[frame.flags] for frame in server.heard(wire.OUTPUT)}
    assert outputs == {**dict.fromkeys(range(1, 50), "success"), 50: "crashed"}
    assert sorted(frame.seq for frame in server.heard(wire.RETURN)) == list(range(51, 101))
    await container.ended()


async def test_the_last_output_is_sent_until_it_is_acknowledged(container: Container) -> None:
    server = await container.start("import os\ndef f(): os._exit(1)")
    server.auto_ack = False
    await server.input(1)
    first = await server.frame(wire.OUTPUT, 1)
    server.drop()
    await until(lambda: len(server.heard(wire.BYE)) == 2, "a second BYE")
    second = server.heard(wire.OUTPUT, 1)[1]

    assert json.loads(second.payload) == json.loads(first.payload)
    assert server.hellos[1]["holds"] == [[1, 1001, 1, None, True]]
    await server.ack((1, 1001))
    assert (await container.ended())[0] == 1
