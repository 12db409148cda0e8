"""Every read agrees with a plain filter over all lines."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clocks import FreeClock
from yurt.outbound.logs import FileLogs, LogLimits
from yurt.ports import LogLine, LogQuery

NOW = FreeClock().now()
TIMES = st.floats(0, 10).map(lambda age: NOW + age) | st.integers(0, 5).map(lambda age: NOW + age)
CONTAINERS = st.sampled_from([("fu-1", "co-1"), ("fu-1", "co-2"), ("fu-2", "co-3")])
WORDS = st.sampled_from(["", "error", 'an "error" here', "Error", "ä\\n\n"])


@st.composite
def lines(draw: st.DrawFn) -> LogLine:
    function_id, container_id = draw(CONTAINERS)
    return LogLine(
        time=draw(TIMES),
        stream=draw(st.sampled_from(["stdout", "stderr"])),
        container_id=container_id,
        function_id=function_id,
        seq=draw(st.sampled_from([0, 1, 1 << 60])),
        number=1,
        text=draw(WORDS),
    )


def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | values


QUERIES = st.builds(
    LogQuery,
    function_id=maybe(st.sampled_from(["fu-1", "fu-2", "fu-3"])),
    container_id=maybe(st.sampled_from(["co-1", "co-2", "co-3"])),
    seq=maybe(st.sampled_from([1, 1 << 60])),
    since=maybe(TIMES),
    until=maybe(TIMES),
    search=maybe(st.sampled_from(["error", '"', "ä"])),
    tail=maybe(st.integers(0, 10)),
)


def expected(everything: list[LogLine], query: LogQuery) -> list[LogLine]:
    wanted = [
        line
        for line in everything
        if query.function_id in (None, line.function_id)
        and query.container_id in (None, line.container_id)
        and query.seq in (None, line.seq)
        and (query.since is None or query.since <= line.time)
        and (query.until is None or line.time <= query.until)
        and (query.search or "") in line.text
    ]
    wanted.sort(key=lambda line: (line.time, line.container_id))
    return wanted if query.tail is None else wanted[len(wanted) - min(query.tail, len(wanted)) :]


async def read_back(batches: list[list[LogLine]], queries: list[LogQuery], segment_bytes: int) -> list[list[LogLine]]:
    limits = LogLimits(segment_bytes=segment_bytes, flush_s=0.001)
    with tempfile.TemporaryDirectory() as directory:
        logs = FileLogs(Path(directory), FreeClock(), limits)
        await logs.open()
        for batch in batches:
            logs.append(batch)
            await logs.read(LogQuery(tail=0))
        now = [await logs.read(query) for query in queries]
        await logs.close()
        again = FileLogs(Path(directory), FreeClock(), limits)
        await again.open()
        later = [await again.read(query) for query in queries]
        await again.close()
    assert now == later, "a restart changes nothing"
    return now


@settings(max_examples=60)
@given(
    batches=st.lists(st.lists(lines(), min_size=1, max_size=8), max_size=8),
    queries=st.lists(QUERIES, min_size=1, max_size=4),
    segment_bytes=st.sampled_from([1, 500, 100_000]),
)
def test_reads_agree_with_a_plain_filter(
    batches: list[list[LogLine]], queries: list[LogQuery], segment_bytes: int
) -> None:
    got = asyncio.run(read_back(batches, queries, segment_bytes))
    everything = [line for batch in batches for line in batch]
    assert got == [expected(everything, query) for query in queries]
