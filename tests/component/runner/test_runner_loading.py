"""From the source to a function, or to an error that helps."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.component.runner.conftest import Container
from yurt_runner import wire


async def failure_of(
    container: Container, source: str | dict[str, str] | None, entrypoint: str = "main:f"
) -> dict[str, str]:
    server = await container.begin(source, entrypoint)
    head, error = await server.failure()
    assert (head["phase"], head["outcome"]) == ("import", "init_failure")
    assert (await server.frame(wire.BYE)).header()["reason"] == "startup_failed"
    assert (await container.ended())[0] == 1
    return error


@pytest.mark.parametrize("entrypoint", ["pkg.mod:f", "pkg/mod:f", "pkg/mod.py:f"])
async def test_modules_in_packages(container: Container, entrypoint: str) -> None:
    files = {"pkg/__init__.py": "", "pkg/mod.py": "from pkg.other import X\ndef f(): return X", "pkg/other.py": "X = 7"}
    server = await container.start(files, entrypoint)

    assert await server.call(1) == ("success", 7)


async def test_the_users_modules_are_not_shadowed(container: Container) -> None:
    files = {
        "main.py": "import json, token, values, yurt_runner.wire\ndef f(): return [json.X, token.X, values.X]",
        "json.py": "X = 'my json'",
        "token.py": "X = 'my token'",
        "values.py": "X = 'my values'",
    }
    server = await container.start(files)

    assert await server.call(1) == ("success", ["my json", "my token", "my values"])


async def test_code_without_a_source_comes_from_the_interpreter(container: Container) -> None:
    server = await container.start(None, "math:factorial")

    assert await server.call(1, 5) == ("success", 120)


async def test_a_missing_module_names_interpreter_and_setting(container: Container) -> None:
    error = await failure_of(container, "import surely_not_there\ndef f(): pass")

    assert error["type"] == "ModuleNotFoundError"
    assert "surely_not_there" in error["message"]
    assert sys.executable in error["message"]
    assert "--python" in error["message"]
    assert error["traceback"].startswith('Traceback (most recent call last):\n  File "main.py", line 1, in <module>\n')


async def test_a_missing_entry_module_says_what_there_is(container: Container) -> None:
    error = await failure_of(container, {"app.py": "", "lib/x.py": ""}, "main:f")

    assert "main" in error["message"]
    assert "app.py, lib" in error["message"]


async def test_a_missing_name_lists_what_there_is(container: Container) -> None:
    error = await failure_of(container, "import os\nX = 1\n_y = 2\ndef resize(): pass", "main:resise")

    assert error["type"] == "EntrypointError"
    assert error["message"] == "main.py has no 'resise'; it defines X, resize. Did you mean 'resize'?"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("f = {}", "is of type dict, not a function"),
        ("class f: pass", 'deploy it with kind "class"'),
    ],
)
async def test_what_is_no_plain_function_is_refused(container: Container, source: str, words: str) -> None:
    error = await failure_of(container, source)

    assert words in error["message"]


async def test_a_syntax_error_shows_file_and_line(container: Container) -> None:
    error = await failure_of(container, "def f():\n    return (\n\ndef g(): pass")

    assert error["type"] == "SyntaxError"
    assert "main.py, line 2" in error["message"]
    assert 'File "main.py", line 2' in error["traceback"]


@pytest.mark.parametrize("statement", ["raise ValueError('no')", "raise SystemExit(1)", "raise KeyboardInterrupt"])
async def test_whatever_the_import_raises_is_told(container: Container, statement: str) -> None:
    error = await failure_of(container, statement)

    assert error["type"] in statement
    assert 'File "main.py", line 1, in <module>' in error["traceback"]


async def test_a_crash_during_import_is_told(container: Container) -> None:
    server = await container.begin("import os\nprint('so far', flush=True)\nos._exit(5)")

    head, error = await server.failure()

    assert (head["phase"], head["outcome"]) == ("startup", "crashed")
    assert (error["exit_code"], error["last_output"]) == (5, "so far\n")
    await container.ended()


async def test_memory_during_import_is_told(container: Container) -> None:
    server = await container.begin("x = bytearray(300 << 20)", memory_mib=128)

    head, error = await server.failure()

    assert (head["outcome"], error["limit_mib"]) == ("out_of_memory", 128)
    await container.ended()


async def test_a_library_that_does_not_fit_into_the_limit_is_told_with_the_limit(container: Container) -> None:
    error = await failure_of(container, "raise ImportError('libx.so: failed to map segment from shared object')")

    assert error["message"].startswith("libx.so: failed to map segment from shared object. The memory limit of 512 MiB")
    assert "raise `memory`" in error["message"]


@pytest.mark.parametrize("name", ["../out.py", "/tmp/out.py", "a/../../out.py", "a\\b.py"])
async def test_unsafe_names_are_refused(container: Container, tmp_path: Path, name: str) -> None:
    error = await failure_of(container, {"main.py": "def f(): pass", name: "X = 1"})

    assert error["type"] == "BadSource"
    assert "unsafe name" in error["message"]
    assert not (tmp_path / "out.py").exists()


def interpreters() -> list[str]:
    """Every CPython from 3.9 to 3.13 at hand, by what `pythonX.Y` and pyenv find."""
    found = []
    for minor in range(9, 14):
        names = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        names += sorted(Path("/root/.pyenv/versions").glob(f"3.{minor}.*/bin/python"))
        path = str(names[0]) if names else shutil.which(f"python3.{minor}")
        if path:
            found.append(path)
    return found


@pytest.mark.parametrize("python", interpreters())
async def test_every_interpreter_runs_the_file(container: Container, python: str) -> None:
    source = """
import asyncio, datetime, decimal, enum, platform, yurt_runner
class Colour(enum.Enum):
    RED = "red"
def f(n):
    print("heard")
    if n == 2: raise LookupError("two")
    return [datetime.date(2026, 1, 2), decimal.Decimal("1.5"), Colour.RED, yurt_runner.current().call_id]
"""
    server = await container.start(source, python=python, timeout_s=1)

    assert await server.call(1, 1) == ("success", ["2026-01-02", "1.5", "red", "fc-1"])
    outcome, error = await server.call(2, 2)
    assert (outcome, error["type"]) == ("user_error", "LookupError")
    assert error["traceback"].startswith('Traceback (most recent call last):\n  File "main.py", line 7, in f\n')
    assert (await server.line(lambda line: line[1] == 2))[2] == "heard"
    await server.drain()
    assert await container.ended() == (0, "")
