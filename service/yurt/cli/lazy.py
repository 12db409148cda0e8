"""A group of commands whose modules are imported only when one of them is used, so that `yurt --help` is quick."""

import difflib
import gc
import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import click

from yurt.cli.failures import ReaderGone


class LazyGroup(click.Group):
    """A click group over a table.

    Args:
        table: for each command its place (`module:attribute`) and the line that `--help` shows for it.
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import and return a command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command = getattr(_load(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is checked by a test
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            ReaderGone: nobody reads the output any more.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click itself would end with 1, which here says that a call failed.
            raise ReaderGone from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that a command line names, or say which one it may mean."""
        nearest = difflib.get_close_matches(args[0], self.table, n=1)
        if nearest and args[0] not in self.table:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {nearest[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


def _load(name: str) -> ModuleType:
    """Import a module without the collector, which would look through all that is loaded time and again, for nothing.

    It stays, so the collector need not look at it later either. That is a sixth of the server's start.
    """
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()
