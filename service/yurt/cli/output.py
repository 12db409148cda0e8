"""What is printed: results alone on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNBOUNDED = 1_000_000
"""Columns of something that is no terminal: nothing is cut or wrapped there."""


def on_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def notice(text: str) -> None:
    """Say something beside the result."""
    click.echo(text, err=True)


def compact(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def print_json(value: Any) -> None:
    """Print a value: for eyes on a terminal, on one line elsewhere."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2) if on_terminal() else compact(value))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns; None is shown as nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console(width=None if on_terminal() else UNBOUNDED, highlight=False)
    with console.capture() as captured:
        console.print(table)
    # Columns are padded to their width, the last one too; nobody wants blanks at the ends of lines.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def age(moment: str | None) -> str:
    """How long ago an RFC 3339 time was, roughly: `3 h`."""
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def log_line(line: dict[str, Any]) -> str:
    """One line of a log, as people read it; the time is local."""
    when = datetime.fromisoformat(line["time"]).astimezone()
    mark = "" if line["stream"] == "stdout" else f"[{line['stream']}] "
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03d} {mark}{line['text']}"
