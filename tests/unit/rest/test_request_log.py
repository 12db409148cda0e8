"""Logs: what a line looks like, and the buffer of request lines."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
import structlog

from yurt import logging as yurt_logging
from yurt.logging import RequestLine, RequestLog, configure

LINE = RequestLine(1_800_000_000.5, "r1", "GET", "/v1/apps", 200, 0.00125, "listApps", "tk-1", "")


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """A stream that people read."""

    def isatty(self) -> bool:
        return True


async def _written(log: RequestLog) -> None:
    task = asyncio.create_task(log.run())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_waits_at_the_end_is_written() -> None:
    text: list[str] = []
    log = RequestLog(text.append)
    log.add(LINE)

    await _written(log)

    assert json.loads("".join(text)) == {
        "timestamp": "2027-01-15T08:00:00.500Z",
        "level": "info",
        "event": "request",
        "request_id": "r1",
        "method": "GET",
        "path": "/v1/apps",
        "status": 200,
        "took_ms": 1.25,
        "operation": "listApps",
        "token_id": "tk-1",
    }


async def test_people_get_columns() -> None:
    stream = Terminal()
    log = RequestLog.to(stream)
    log.add(LINE)

    await _written(log)

    assert "200 GET /v1/apps 1.2 ms listApps tk-1 r1\n" in stream.getvalue()


async def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yurt_logging, "KEPT", 2)
    text: list[str] = []
    log = RequestLog(text.append)
    for _ in range(5):
        log.add(LINE)

    with structlog.testing.capture_logs() as logged:
        await _written(log)

    assert len("".join(text).splitlines()) == 2
    assert [(entry["event"], entry["count"]) for entry in logged] == [("request_lines_dropped", 3)]


@pytest.mark.usefixtures("restored")
def test_both_libraries_log_json_with_fields() -> None:
    stream = io.StringIO()
    configure(stream=stream)

    structlog.get_logger("yurt.x").info("store_opened", path="/tmp/x")
    logging.getLogger("other").warning("careful: %s", 5)

    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert (ours["event"], ours["path"], ours["level"], ours["logger"]) == ("store_opened", "/tmp/x", "info", "yurt.x")
    assert (theirs["event"], theirs["level"]) == ("careful: 5", "warning")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "columns"])
def test_a_traceback_never_shows_the_values_of_variables(stream: io.StringIO) -> None:
    configure(stream=stream)

    def fail() -> None:
        secret = "".join(["hun", "ter2"])
        raise ValueError(len(secret))

    try:
        fail()
    except ValueError:
        structlog.get_logger("yurt.x").exception("failed")
        logging.getLogger("yurt.y").exception("failed")

    assert stream.getvalue().count("ValueError: 7") == 2
    assert "hunter2" not in stream.getvalue()
