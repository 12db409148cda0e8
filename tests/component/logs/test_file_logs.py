"""Logs in files: bounds, filters, restarts, readers that follow."""

import asyncio
import contextlib
import itertools
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clocks import FreeClock
from tests.waiting import until
from yurt.outbound.logs import FileLogs, LogLimits
from yurt.ports import LogLine, LogQuery

NOW = FreeClock().now()
EVERYTHING = LogQuery()


def line(text: str = "hello", **changes: Any) -> LogLine:
    fields: dict[str, Any] = {
        "time": NOW,
        "stream": "stdout",
        "container_id": "co-1",
        "function_id": "fu-1",
        "seq": 0,
        "number": 0,
    }
    return LogLine(text=text, **fields | changes)


def numbered(count: int, *, width: int = 0, **changes: Any) -> list[LogLine]:
    return [line(f"line {n}".ljust(width), **{"time": NOW + n} | changes) for n in range(count)]


def texts(lines: list[LogLine]) -> list[str]:
    return [one.text.rstrip() for one in lines]


@asynccontextmanager
async def opened(directory: Path, **limits: Any) -> AsyncIterator[FileLogs]:
    logs = FileLogs(directory, FreeClock(), LogLimits(**{"flush_s": 0.01} | limits))
    await logs.open()
    try:
        yield logs
    finally:
        await logs.close()


@asynccontextmanager
async def following(logs: FileLogs, query: LogQuery = EVERYTHING) -> AsyncIterator[list[LogLine]]:
    """The lines that a reader gets, as they come."""
    got: list[LogLine] = []

    async def read() -> None:
        async for one in logs.follow(query):
            got.append(one)  # noqa: PERF401 - seen as they come

    reader = asyncio.create_task(read())
    try:
        yield got
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader


async def test_what_is_appended_can_be_read_at_once(tmp_path: Path) -> None:
    lines = [line("a", seq=7, number=2), line("ö\n\x00", time=NOW + 1, stream="stderr")]
    async with opened(tmp_path / "logs") as logs:
        logs.append(lines)
        assert await logs.read(EVERYTHING) == lines


async def test_lines_are_written_without_a_reader(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append([line("soon")])
        await until(lambda: any("soon" in path.read_text() for path in tmp_path.rglob("*.jsonl")), "the write")


async def test_logs_outlive_the_server_and_go_on(tmp_path: Path) -> None:
    for text in ("first life", "second life"):
        async with opened(tmp_path / "logs") as logs:
            logs.append([line(text)])
    async with opened(tmp_path / "logs") as logs:
        assert texts(await logs.read(EVERYTHING)) == ["first life", "second life"]


async def test_a_line_torn_by_a_crash_is_left_out(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append(numbered(3))
    (segment,) = tmp_path.rglob("*.jsonl")
    os.truncate(segment, segment.stat().st_size - 5)
    async with opened(tmp_path / "logs") as logs:
        logs.append([line("after", time=NOW + 9)])
        assert texts(await logs.read(EVERYTHING)) == ["line 0", "line 1", "after"]


async def test_what_is_no_segment_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append([line()])
    stranger = tmp_path / "logs" / "fu-1" / "co-1" / "notes.txt"
    stranger.touch()
    async with opened(tmp_path / "logs") as logs:
        assert len(await logs.read(EVERYTHING)) == 1
        await logs.expire(NOW + 1e6)
    assert stranger.exists()


async def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append([line()])
        await logs.read(EVERYTHING)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs").rglob("*")}
        assert modes == {0o700, 0o600}


async def test_text_that_is_not_unicode_is_kept_as_far_as_possible(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append([line("half \ud800 a pair")])
        assert texts(await logs.read(EVERYTHING)) == ["half ? a pair"]


async def test_the_newest_lines_of_all_containers_in_order_of_time(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        for number in (0, 2, 1, 3, 5, 4):
            logs.append([line(f"line {number}", time=NOW + number, container_id=f"co-{number % 2}")])
        assert texts(await logs.read(LogQuery(tail=4))) == ["line 2", "line 3", "line 4", "line 5"]


async def test_the_newest_lines_may_lie_in_a_segment_that_ended_earlier(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append([line("first", time=NOW + 5.8), line("last", time=NOW + 10)])
        logs.append([line("oldest", time=NOW, container_id="co-2"), line("second", time=NOW + 6, container_id="co-2")])
        assert texts(await logs.read(LogQuery(tail=2))) == ["second", "last"]
        assert texts(await logs.read(LogQuery(tail=3))) == ["first", "second", "last"]


async def test_a_line_that_comes_late_is_found_by_its_own_time(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        for text, age in (("in time", 10), ("late", 1)):
            logs.append([line(text, time=NOW + age)])
            await logs.read(EVERYTHING)
        assert texts(await logs.read(LogQuery(until=NOW + 5))) == ["late"]


async def test_a_read_gives_at_most_the_newest_so_many(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs", read_lines=3) as logs:
        logs.append(numbered(5))
        assert texts(await logs.read(EVERYTHING)) == ["line 2", "line 3", "line 4"]
        assert texts(await logs.read(LogQuery(tail=10))) == ["line 2", "line 3", "line 4"]


async def test_what_the_time_excludes_is_not_opened(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs", segment_bytes=1) as logs:
        logs.append(numbered(5))
        await logs.read(EVERYTHING)
        old, *_ = sorted(tmp_path.rglob("*.jsonl"))
        old.write_text("not a line")
        assert texts(await logs.read(LogQuery(since=NOW + 1))) == ["line 1", "line 2", "line 3", "line 4"]
    async with opened(tmp_path / "logs") as logs:
        assert texts(await logs.read(LogQuery(since=NOW + 3))) == ["line 3", "line 4"]


async def test_beyond_its_limit_a_container_loses_its_oldest_lines_and_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs", segment_bytes=2_000, container_bytes=8_000) as logs:
        logs.append(numbered(200, width=100))
        logs.append(numbered(3, container_id="co-quiet"))
        await logs.read(EVERYTHING)
        lines = await logs.read(LogQuery(container_id="co-1"))
        kept = [one for one in lines if one.stream == "stdout"]
        (notice,) = [one for one in lines if one.stream == "system"]
        assert texts(kept) == [f"line {n}" for n in range(200 - len(kept), 200)]
        assert notice.text.startswith(f"{200 - len(kept)} lines were dropped: the container's logs")
        assert sum(path.stat().st_size for path in tmp_path.rglob("co-1/*")) <= 8_000 + 2_000
        assert len(await logs.read(LogQuery(container_id="co-quiet"))) == 3


async def test_beyond_the_limit_of_all_the_oldest_go_first(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs", segment_bytes=1_000, total_bytes=10_000) as logs:
        for number in range(20):
            logs.append([line("x" * 900, time=NOW + number, container_id=f"co-{number:02}")])
            await logs.read(EVERYTHING)
        kept = {one.container_id for one in await logs.read(EVERYTHING) if one.stream == "stdout"}
        assert kept == {f"co-{number:02}" for number in range(20 - len(kept), 20)}
        assert 5 <= len(kept) <= 11


async def test_lines_that_come_too_fast_are_dropped_and_counted(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs", buffered_bytes=1_500) as logs:
        logs.append(numbered(100))
        lines = await logs.read(EVERYTHING)
        kept = [one for one in lines if one.stream == "stdout"]
        assert 0 < len(kept) < 20
        assert f"{100 - len(kept)} lines were dropped: they came faster" in str(texts(lines))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    real = os.utime

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    return lambda full: monkeypatch.setattr(os, "utime", refuse if full else real)


async def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, full_disk: Callable[[bool], None]) -> None:
    async with opened(tmp_path / "logs") as logs:
        full_disk(True)
        for _ in range(3):
            logs.append(numbered(5))
            assert await logs.read(EVERYTHING) == []
        full_disk(False)
        logs.append([line("there is room again", time=NOW + 9)])
        assert texts(await logs.read(EVERYTHING)) == [
            "15 lines were dropped: the disk did not take them.",
            "there is room again",
        ]


async def test_old_segments_expire_and_leave_no_folders(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append([line("old"), line("new", time=NOW + 100, container_id="co-2")])
        await logs.read(EVERYTHING)
        assert await logs.expire(NOW + 50) == 1
        assert texts(await logs.read(EVERYTHING)) == ["new"]
        assert [path.name for path in (tmp_path / "logs" / "fu-1").iterdir()] == ["co-2"]
        assert await logs.expire(NOW + 200) == 1
    assert list((tmp_path / "logs").iterdir()) == []


async def test_a_follower_gets_what_was_and_what_comes_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append([line("past")])
        async with following(logs, LogQuery(function_id="fu-1")) as got:
            for number in itertools.count():
                logs.append([line(f"{number}"), line("another's", function_id="fu-2")])
                await asyncio.sleep(0)
                if number >= 500 and got:
                    break
            await until(lambda: got[-1].text == str(number), "the last line")
            assert texts(got) == ["past", *map(str, range(number + 1))]


async def test_a_follower_may_ask_for_the_last_lines_only(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append(numbered(10))
        async with following(logs, LogQuery(tail=2)) as got:
            await until(lambda: len(got) == 2, "the history")
            logs.append([line("live", time=NOW + 20)])
            await until(lambda: len(got) == 3, "the live line")
            assert texts(got) == ["line 8", "line 9", "live"]


async def test_a_slow_follower_misses_lines_and_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs", follower_lines=5) as logs:
        logs.append([line("past")])
        reader = logs.follow(EVERYTHING)
        assert (await anext(reader)).text == "past"
        logs.append(numbered(20))
        got = [await anext(reader) for _ in range(6)]
        assert texts(got[:5]) == [f"line {n}" for n in range(5)]
        assert got[5].stream == "system"
        assert got[5].text.startswith("15 lines are left out here")
        logs.append([line("in time", time=NOW + 30)])
        assert (await anext(reader)).text == "in time"
        await close(reader)


async def test_followers_end_with_the_logs(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        reader = logs.follow(EVERYTHING)
        first = asyncio.create_task(take_all(reader))
        await until(lambda: bool(logs._followers), "the follower")
        logs.append([line("last")])
    assert texts(await first) == ["last"]


async def take_all(reader: AsyncIterator[LogLine]) -> list[LogLine]:
    return [one async for one in reader]


async def close(reader: AsyncIterator[LogLine]) -> None:
    end: Callable[[], Awaitable[None]] = reader.aclose  # type: ignore[attr-defined]
    await end()


async def test_a_reader_that_gives_up_spoils_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        logs.append(numbered(1000))
        impatient = [asyncio.create_task(logs.read(EVERYTHING)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in impatient:
            task.cancel()
        await asyncio.gather(*impatient, return_exceptions=True)
        logs.append([line("after", time=NOW + 2000)])
        assert len(await logs.read(EVERYTHING)) == 1001


async def test_closing_twice_and_appending_late_does_no_harm(tmp_path: Path) -> None:
    async with opened(tmp_path / "logs") as logs:
        await logs.close()
        logs.append([line("too late")])
    assert list(tmp_path.rglob("*.jsonl")) == []
