"""Segments: files of lines of one container.

A segment's name is its number and the time of its oldest line, `000012-1800000000123456.jsonl` (microseconds since
1970, rounded down); its modification time is that of its newest line, rounded up. So what a time filter excludes is
never opened. A line is a JSON array; the last one of a segment may be torn by a crash, and is then left out.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from yurt.ports import LogLine

SUFFIX = ".jsonl"


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A line as it lies in its segment, whose path says the rest."""

    time: float
    stream: str
    seq: int
    number: int
    text: str


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Row)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose lines a segment holds."""

    function_id: str
    container_id: str


@dataclass(slots=True)
class Segment:
    """One file.

    Args:
        first: no line is older, seconds since 1970.
        last: no line is newer.
        size: in bytes.
        lines: how many were written in this life; None for a segment of an earlier one.
    """

    owner: Owner
    path: Path
    number: int
    first: float
    last: float
    size: int
    lines: int | None = 0


def new(directory: Path, owner: Owner, number: int, first: float) -> Segment:
    """A segment that has no file yet."""
    micros = math.floor(first * 1e6)
    path = directory / owner.function_id / owner.container_id / f"{number:06d}-{micros}{SUFFIX}"
    return Segment(owner, path, number, micros / 1e6, first, 0)


def found(owner: Owner, entry: "os.DirEntry[str]") -> Segment:
    """The segment of an earlier life in that file.

    Raises:
        ValueError: it is not named like one.
    """
    number, _, micros = entry.name.removesuffix(SUFFIX).partition("-")
    status = entry.stat()
    return Segment(owner, Path(entry.path), int(number), int(micros) / 1e6, status.st_mtime, status.st_size, None)


def append(segment: Segment, lines: Sequence[LogLine]) -> None:
    """Write lines to the end of a segment; none may be older than its first. Blocks: for threads.

    Raises:
        OSError: they were not written, or not whole.
    """
    data = b"".join(_encoded(line) + b"\n" for line in lines)
    last = max(segment.last, *(line.time for line in lines)) if lines else segment.last
    descriptor = os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        rounded = math.ceil(last * 1e6) * 1000 + 1000
        os.utime(descriptor, ns=(rounded, rounded))
    segment.size += len(data)
    segment.last = last
    if segment.lines is not None:
        segment.lines += len(lines)


def _encoded(line: LogLine) -> bytes:
    try:
        return _encode(_Row(line.time, line.stream, line.seq, line.number, line.text))
    except UnicodeEncodeError:  # half of a surrogate pair, which a container can send and UTF-8 cannot carry
        text = line.text.encode("utf-8", "replace").decode()
        return _encode(_Row(line.time, line.stream, line.seq, line.number, text))


def read(segment: Segment) -> Iterator[LogLine]:
    """The whole lines of a segment, as far as it had grown when `segment` was copied. Blocks: for threads."""
    try:
        with segment.path.open("rb") as file:
            data = file.read(segment.size)
    except FileNotFoundError:
        return  # it was dropped meanwhile
    owner = segment.owner
    for row in _rows(data):
        yield LogLine(row.time, row.stream, owner.container_id, owner.function_id, row.seq, row.number, row.text)


def _rows(data: bytes) -> Sequence[_Row]:
    try:
        return _decoder.decode_lines(data)
    except msgspec.DecodeError:
        return [row for line in data.splitlines() if (row := _whole(line)) is not None]


def _whole(line: bytes) -> _Row | None:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError:
        return None
