"""Logs: structlog through one stdlib formatter, and a buffer for the line of each request.

Columns for people where the stream is a terminal, one JSON object a line otherwise. Events are constant words, facts
are fields. A structlog event costs about as much as a whole warm call, so requests do not take that way: their lines
are kept as tuples and written ten times a second.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Literal, TextIO

import msgspec
import structlog
from structlog.typing import Processor

from yurt.domain.times import rfc3339

FLUSH_S = 0.1
"""How long a request line may wait, in seconds."""

KEPT = 20_000
"""Request lines that may wait at once; more are counted and left out. Twice what one core can answer in a second."""

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


_log = structlog.get_logger(__name__)

Form = Literal["auto", "text", "json"]
"""Columns (`text`), one JSON object a line, or what suits the stream."""


def for_people(stream: TextIO, form: Form) -> bool:
    """Whether lines to `stream` are columns."""
    return stream.isatty() if form == "auto" else form == "text"


def configure(*, level: str = "INFO", stream: TextIO = sys.stderr, form: Form = "auto") -> None:
    """Send everything that is logged, by structlog or the standard library, to `stream`."""
    people = for_people(stream, form)
    rendering: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]  # rich ones show locals, secrets too
        if people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=list(_SHARED),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # tells of every plugin it loads
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class RequestLine(msgspec.Struct, frozen=True, gc=False):
    """What is said of one request; it is put into words when it is written.

    Args:
        at: when it was answered, seconds since 1970.
        status: of the answer; 499 where the client went away first.
        took_s: until the handler was done, in seconds.
        operation: the operation's id, or nothing where no operation was found.
        token_id: who asked, or nothing.
        call_id: the call that it made, or nothing.
    """

    at: float
    request_id: str
    method: str
    path: str
    status: int
    took_s: float
    operation: str = ""
    token_id: str = ""
    call_id: str = ""


class RequestLog:
    """Collects request lines and writes them in the background.

    Args:
        write: takes the text of some lines; called in a thread, since a full pipe blocks.
        people: columns instead of JSON.
    """

    def __init__(self, write: Callable[[str], object], *, people: bool = False) -> None:
        self._write = write
        self._format = _columns if people else _json
        self._lines: list[RequestLine] = []
        self._some = asyncio.Event()
        self._dropped = 0

    @classmethod
    def to(cls, stream: TextIO, form: Form = "auto") -> "RequestLog":
        """A log to a stream, in the form that `configure` chooses for it."""

        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        return cls(write, people=for_people(stream, form))

    def add(self, line: RequestLine) -> None:
        """Take a line; never blocks."""
        if len(self._lines) >= KEPT:
            self._dropped += 1
            return
        self._lines.append(line)
        self._some.set()

    async def run(self) -> None:
        """Write lines as they come, forever; what waits at a cancel is still written."""
        try:
            while True:
                await self._some.wait()
                await asyncio.sleep(FLUSH_S)
                await asyncio.to_thread(self._write, self._take())
                self._tell_dropped()
        finally:
            if self._lines:
                self._write(self._take())
            self._tell_dropped()

    def _take(self) -> str:
        lines, self._lines = self._lines, []
        self._some.clear()
        return "".join(map(self._format, lines))

    def _tell_dropped(self) -> None:
        if self._dropped:
            _log.warning("request_lines_dropped", count=self._dropped)
            self._dropped = 0


class _Json(msgspec.Struct, omit_defaults=True):
    """A line as one JSON object, after its constant members."""

    timestamp: str
    request_id: str
    method: str
    path: str
    status: int
    took_ms: float
    operation: str = ""
    token_id: str = ""
    call_id: str = ""


_encode = msgspec.json.Encoder().encode


def _json(line: RequestLine) -> str:
    told = _Json(
        rfc3339(line.at),
        line.request_id,
        line.method,
        line.path,
        line.status,
        round(line.took_s * 1000, 3),
        line.operation,
        line.token_id,
        line.call_id,
    )
    return '{"event":"request","level":"info",' + _encode(told).decode()[1:] + "\n"


def _columns(line: RequestLine) -> str:
    who = " ".join(filter(None, (line.operation, line.token_id, line.call_id)))
    return (
        f"{rfc3339(line.at)} [info     ] request  {line.status} {line.method} {line.path} {line.took_s * 1000:.1f} ms "
        f"{who} {line.request_id}\n"
    )
