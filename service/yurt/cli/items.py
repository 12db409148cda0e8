"""Printing what a generator yields."""

from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self

import click

from yurt.cli import output


class Items:
    """Prints items as they come, one a line, or writes them so to a file.

    Args:
        as_json: as `{"item": …}`, so that none can be taken for the call that follows.
        save_to: the file; it is made with the first item.

    Attributes:
        count: how many there were.
    """

    def __init__(self, *, as_json: bool = False, save_to: Path | None = None) -> None:
        self.count = 0
        self._as_json = as_json
        self._save_to = save_to
        self._file: IO[str] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, item: Any) -> None:
        """Print one."""
        if self._save_to is not None and self._file is None:
            self._file = self._open.enter_context(self._save_to.open("w", encoding="utf-8"))
        self.count += 1
        click.echo(output.compact({"item": item} if self._as_json else item), file=self._file)
