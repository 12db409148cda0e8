"""Methods and parameters of classes, as words of a command: `app:Class.method`, `--param name=value`."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from yurt.cli.client import Client, Json, function_path
from yurt.cli.failures import CommandError, ExitCode, Refused

_WHOLE = re.compile(r"-?[0-9]{1,19}\Z")

param_option = click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of a class; @FILE for the bytes of a file. May be repeated.",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a call is for.

    Args:
        function: an address or an id.
        method: of a class; None leaves it to the server.
        parameters: of a class, as JSON has them.
    """

    function: str
    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> Json:
        """What goes beside the arguments."""
        return {
            **({"method": self.method} if self.method is not None else {}),
            **({"parameters": dict(self.parameters)} if self.parameters else {}),
        }

    @property
    def query(self) -> dict[str, str]:
        """The same as parameters of an address."""
        texts = {name: text_of(value) for name, value in self.parameters.items()}
        method = {"method": self.method} if self.method is not None else {}
        return {**method, **{f"parameters.{name}": text for name, text in texts.items()}}


async def find_target(client: Client, words: str, given: Sequence[str]) -> Target:
    """What the words of a command mean. The server is asked only where they may be of a class.

    Raises:
        CommandError: a parameter has no name, or its file cannot be read.
        Refused: there is no such function.
    """
    if "." not in words and not given:
        return Target(words)
    texts = dict(map(_split, given))
    try:
        function, method = await _get(client, words), None
    except Refused as refused:
        address, dot, method = words.rpartition(".")
        if refused.code is not ExitCode.NOT_FOUND or not dot or not method.isidentifier():
            raise
        function = await _class_of(client, address, refused)
    kinds = {one["name"]: one["type"] for one in function.get("parameters", ())}
    parameters = {name: _value(kinds.get(name, "str"), text) for name, text in texts.items()}
    return Target(words if method is None else address, method, parameters)


async def _get(client: Client, words: str) -> Json:
    found: Json = await client.get(function_path(words), **client.scope)
    return found


async def _class_of(client: Client, address: str, missing: Refused) -> Json:
    """The class that `app:Class.method` may mean; where there is none, what is missing is the whole of it."""
    try:
        found = await _get(client, address)
    except Refused as refused:
        raise (missing if refused.code is ExitCode.NOT_FOUND else refused) from None
    if found.get("kind") != "class":
        raise missing
    return found


def _split(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise CommandError(f"--param {word!r} has no name", "Write --param model=small.", ExitCode.USAGE)
    return name, text


def _value(kind: str, text: str) -> Any:
    """A value by the type that the class says; what does not fit goes as it is, and the server names it."""
    if text.startswith("@") and kind == "bytes":
        try:
            return base64.b64encode(Path(text[1:]).read_bytes()).decode()
        except OSError as error:
            raise CommandError(f"{text[1:]} cannot be read: {error.strerror}", code=ExitCode.USAGE) from error
    if kind == "int" and _WHOLE.match(text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "bool" else text


def text_of(value: Any) -> str:
    """A parameter as `--param` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
