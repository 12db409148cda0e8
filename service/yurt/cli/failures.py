"""How the command line fails: one line that says what happened, one that says what to do, and an exit code."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import click


class ExitCode(IntEnum):
    """What the shell learns."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    UNREACHABLE = 5
    PENDING = 6
    INTERRUPTED = 130
    """128 + SIGINT, as shells have it."""
    BROKEN_PIPE = 141
    """128 + SIGPIPE."""


class CommandError(Exception):
    """The command cannot do what it was asked.

    Args:
        what: what happened, to which thing.
        todo: what the caller can do about it.
    """

    def __init__(self, what: str, todo: str | None = None, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo
        self.code = code

    def show(self) -> None:
        """Print it to stderr."""
        click.echo(f"Error: {self.what}", err=True)
        if self.todo:
            click.echo(self.todo, err=True)


class ReaderGone(Exception):
    """Who reads the output has gone, as in `yurt logs … | head`: no error, but nothing is left to do."""


class Unreachable(CommandError):
    """No answer came from the server."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"no answer from {url}: {reason}",
            "Start a server with `yurt serve`, or say where it is: --url, YURT_URL or `yurt login URL`.",
            ExitCode.UNREACHABLE,
        )


_CODES = {
    400: ExitCode.USAGE,
    401: ExitCode.AUTH,
    403: ExitCode.AUTH,
    404: ExitCode.NOT_FOUND,
    410: ExitCode.NOT_FOUND,
    413: ExitCode.USAGE,
    422: ExitCode.USAGE,
    503: ExitCode.UNREACHABLE,
}

_TODOS = {
    401: "Log in with `yurt login URL`, or set YURT_TOKEN.",
    403: "Ask an administrator for a token with a wider role: yurt token create --role ROLE.",
    503: "Try again in a moment.",
}


class Refused(CommandError):
    """The server answered that it will not, or cannot: a problem document (RFC 9457).

    Args:
        status: the HTTP status.
        problem: the members of the document; an empty mapping where the answer was none.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.reason = str(problem.get("code", ""))
        self.fields: Sequence[Mapping[str, Any]] = problem.get("errors", ())
        super().__init__(self._what(), self._todo(), _CODES.get(status, ExitCode.FAILED))

    def _what(self) -> str:
        detail = str(self.problem.get("detail") or self.problem.get("title") or "")
        # Of several fields the detail says the first alone; of one it says all, and where that is.
        if self.fields and not (len(self.fields) == 1 and str(self.fields[0]["message"]) in detail):
            return "\n".join(f"{field['pointer']}: {field['message']}" for field in self.fields)
        return detail or f"the server answered with status {self.status}"

    def _todo(self) -> str | None:
        if self.status == 500 and "request_id" in self.problem:
            return f"The server's log says more, under request id {self.problem['request_id']}."
        if any(field["pointer"] in {"/method", "?method"} for field in self.fields):
            return "A method is called as APP:CLASS.METHOD."
        return _TODOS.get(self.status)
