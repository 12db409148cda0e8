import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import wait_until
from tests.component.cli.fake_api import FakeApi

GOOD = "def greet():\n    return {}\n"


class Dev:
    """A running `yurt dev`, and what it has printed."""

    def __init__(self, path: Path, *options: str) -> None:
        command = [sys.executable, "-u", "-m", "yurt", "dev", str(path), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        self.out: list[str] = []
        self.err: list[str] = []
        pipes = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self._readers = [threading.Thread(target=lambda p=pipe, t=lines: t.extend(p)) for pipe, lines in pipes]
        for reader in self._readers:
            reader.start()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        for reader in self._readers:
            reader.join(20)
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait(30)
        for reader in self._readers:
            reader.join(20)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "yurt.toml").write_text('app = "hello"\n[functions.greet]\nentrypoint = "main:greet"\n')
    (tmp_path / "main.py").write_text(GOOD.format(1))
    return tmp_path


@pytest.fixture
def dev(api: FakeApi, project: Path) -> Iterator[Dev]:
    dev = Dev(project)
    try:
        wait_until(lambda: source(api) == GOOD.format(1))
        yield dev
    finally:
        dev.close()


def source(api: FakeApi) -> object:
    function = api.functions.get("hello-dev", {}).get("greet")
    return function and function["definition"]["source"]["files"]["main.py"]


def test_each_save_is_deployed_and_an_interrupt_stops_the_app(api: FakeApi, project: Path, dev: Dev) -> None:
    assert api.apps["ap-1"]["state"] == "ephemeral"

    (project / "main.py").write_text(GOOD.format(2))
    wait_until(lambda: "hello-dev:greet updated to revision 2: source\n" in dev.err)

    assert source(api) == GOOD.format(2)
    assert dev.end() == 130
    assert api.apps["ap-1"]["state"] == "stopped"
    assert "hello-dev:greet created\n" in dev.err
    assert "stopped hello-dev\n" in dev.err
    assert not any("Traceback" in line for line in dev.err)


def test_a_broken_save_is_reported_and_the_last_good_one_goes_on(api: FakeApi, project: Path, dev: Dev) -> None:
    (project / "yurt.toml").write_text("app = \n")
    wait_until(lambda: any("yurt.toml" in line and "Error" in line for line in dev.err))
    assert source(api) == GOOD.format(1)

    api.invalid["greet"] = [{"pointer": "/functions/greet/source/files/main.py", "message": "line 2: invalid syntax"}]
    (project / "yurt.toml").write_text('app = "hello"\n[functions.greet]\nentrypoint = "main:greet"\n')
    wait_until(lambda: "Error: main.py: line 2: invalid syntax\n" in dev.err)
    assert source(api) == GOOD.format(1)

    api.invalid.clear()
    (project / "main.py").write_text(GOOD.format(3))
    wait_until(lambda: source(api) == GOOD.format(3))


def test_a_revision_that_cannot_start_is_told_of_once(api: FakeApi, project: Path, dev: Dev) -> None:
    error = {
        "outcome": "init_failure",
        "type": "ModuleNotFoundError",
        "message": "No module named 'numpyy'.",
        "traceback": 'Traceback (most recent call last):\n  File "main.py", line 1\n',
    }
    function = api.functions["hello-dev"]["greet"]
    function["deploy_error"] = error
    first = "Error: revision 1 of greet cannot start: ModuleNotFoundError: No module named 'numpyy'.\n"
    wait_until(lambda: first in dev.err)
    api.functions["hello-dev"]["greet"] = function | {"revision": 2}
    wait_until(lambda: any("revision 2 of greet" in line for line in dev.err))

    assert '  File "main.py", line 1\n' in dev.err
    assert dev.err.count(first) == 1


def test_files_that_are_no_source_are_not_waited_for(api: FakeApi, project: Path, dev: Dev) -> None:
    deploys = len(api.bodies)

    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"\0")
    (project / "main.py").write_text(GOOD.format(2))
    wait_until(lambda: source(api) == GOOD.format(2))

    assert len(api.bodies) == deploys + 1


def test_a_terminated_session_stops_its_app_too(api: FakeApi, dev: Dev) -> None:
    dev.end(signal.SIGTERM)

    assert api.apps["ap-1"]["state"] == "stopped"


def test_the_app_of_a_killed_session_is_taken_over(api: FakeApi, project: Path) -> None:
    api.add_app("hello-dev", ephemeral=True)
    dev = Dev(project)
    try:
        wait_until(lambda: source(api) == GOOD.format(1))
        dev.end()
    finally:
        dev.close()

    assert list(api.apps) == ["ap-1"]
    assert "taking over hello-dev, which is still alive\n" in dev.err


def test_a_deployed_app_of_that_name_is_left_alone(api: FakeApi, project: Path) -> None:
    api.add_app("hello-dev")
    dev = Dev(project)
    try:
        assert dev.process.wait(30) == 2
    finally:
        dev.close()

    assert api.apps["ap-1"]["state"] == "deployed"
    assert any("hello-dev is a deployed app" in line for line in dev.err)


def test_logs_are_printed_as_they_come(api: FakeApi, project: Path) -> None:
    line = {"time": "2026-11-22T10:15:30.125Z", "stream": "stdout", "container_id": "co-1", "text": "greeting Ada"}
    api.lines["/v1/functions/hello-dev:greet/logs"] = [line]
    dev = Dev(project, "--json")
    try:
        wait_until(lambda: len(dev.out) >= 2)
        dev.end()
    finally:
        dev.close()

    printed = [json.loads(text) for text in dev.out]
    assert printed[0]["event"] == "deployed"
    assert printed[1] == {"event": "log", "function": "greet", **line}


def test_a_single_file_that_an_editor_replaces_is_redeployed(api: FakeApi, tmp_path: Path) -> None:
    script = tmp_path / "tool.py"
    script.write_text(GOOD.format(1))
    dev = Dev(script)
    try:
        wait_until(lambda: "tool-dev" in api.functions)
        (tmp_path / "tool.py.new").write_text(GOOD.format(2))
        (tmp_path / "tool.py.new").rename(script)
        wait_until(lambda: api.functions["tool-dev"]["greet"]["revision"] == 2)
        dev.end()
    finally:
        dev.close()
