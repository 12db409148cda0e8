"""Exceptions as errors."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from yurt_runner import faults
from yurt_runner.errors import clean, describe, message_of, wrong_arguments


def module_of(tmp_path: Path, text: str) -> ModuleType:
    """User code as the worker would load it."""
    path = tmp_path / "main.py"
    path.write_text(text)
    module = ModuleType("main")
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def raised(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - whatever it raises is looked at
        return error
    raise AssertionError("nothing was raised")


def test_paths_are_relative_to_the_source(tmp_path: Path) -> None:
    main = module_of(tmp_path, "def f():\n    raise KeyError('k')\n")

    error = describe(raised(main.f), str(tmp_path))

    assert (error["type"], error["module"], error["message"]) == ("KeyError", "builtins", "'k'")
    assert 'File "main.py", line 2, in f' in error["traceback"]
    assert str(tmp_path) not in error["traceback"]


def test_causes_are_kept(tmp_path: Path) -> None:
    text = """
def f():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise ValueError("outer") from error
"""
    trace = describe(raised(module_of(tmp_path, text).f), str(tmp_path))["traceback"]

    assert trace.index("ZeroDivisionError") < trace.index("direct cause") < trace.index("ValueError: outer")


def test_groups_show_their_members(tmp_path: Path) -> None:
    text = "def f():\n    raise ExceptionGroup('several', [ValueError('one'), TypeError('two')])\n"
    trace = describe(raised(module_of(tmp_path, text).f), str(tmp_path))["traceback"]

    assert "ValueError: one" in trace
    assert "TypeError: two" in trace


HOSTILE = """
class Hostile(Exception):
    def __str__(self): raise RuntimeError("no")
    __repr__ = __str__
def f(): raise Hostile()
def g():
    try:
        f()
    except Hostile as error:
        raise ValueError("outer") from error
"""


@pytest.mark.parametrize("name", ["f", "g"])
def test_exceptions_that_cannot_be_printed_are_survived(tmp_path: Path, name: str) -> None:
    error = describe(raised(getattr(module_of(tmp_path, HOSTILE), name)), str(tmp_path))

    assert error["type"] in {"Hostile", "ValueError"}
    assert error["message"]
    assert error["traceback"]


def test_a_recursion_is_short(tmp_path: Path) -> None:
    main = module_of(tmp_path, "def f(n=0): return f(n + 1) + 1\n")

    error = describe(raised(main.f), str(tmp_path))

    assert error["type"] == "RecursionError"
    assert len(error["traceback"]) < 64 << 10


def test_an_endless_message_loses_its_middle() -> None:
    error = describe(ValueError("a" * 100_000 + "b" * 100_000), "/src")

    assert len(error["message"]) < 66_000
    assert error["message"].startswith("aaa")
    assert error["message"].endswith("bbb")
    assert "134464 bytes left out" in error["message"]


@pytest.mark.parametrize("text", ["\ud800", "é" * 50, "a\ud800" * 40])
def test_clean_text_is_utf8(text: str) -> None:
    assert clean(text, 21).encode()


def test_sys_exit_reads_as_it_was_called() -> None:
    assert message_of(SystemExit("stop")) == "sys.exit('stop')"


def test_wrong_arguments_of_a_builtin_are_survived() -> None:
    error = wrong_arguments(TypeError("dict expected at most 1 argument, got 2"), dict)

    assert error["message"].startswith("dict expected at most 1 argument, got 2. The function is dict")


@pytest.mark.parametrize(
    ("code", "facts", "words", "killed"),
    [
        (3, {"exit_code": 3}, "exited with code 3", False),
        (-11, {"signal": "SIGSEGV"}, "was ended by SIGSEGV", False),
        (-9, {"signal": "SIGKILL"}, "was ended by SIGKILL", True),
        (-40, {"signal": "signal 40"}, "was ended by signal 40", False),
    ],
)
def test_endings(code: int, facts: dict[str, object], words: str, *, killed: bool) -> None:
    how = faults.ending(code)

    assert (how.facts(), str(how), how.killed) == (facts, words, killed)


@pytest.mark.parametrize(
    ("last_output", "kept_mib", "named"),
    [
        ("terminate called after throwing an instance of 'std::bad_alloc'", 512, True),
        ("terminate called after throwing an instance of 'std::bad_alloc'", None, False),
        ("so far", 512, False),
    ],
)
def test_a_crash_names_the_limit_where_that_was_kept_and_may_be_why(
    last_output: str, kept_mib: int | None, *, named: bool
) -> None:
    error = faults.crashed(faults.ending(-6), "while it ran the function", last_output, kept_mib)

    assert ("The memory limit of 512 MiB may be why" in error["message"]) is named


def test_errors_are_one_json_object_whatever_they_hold() -> None:
    error = faults.crashed(faults.ending(1), "while it ran the function", 'a "quote" and\nUTF-8 ✓')

    assert json.loads(faults.as_json(error)) == error
