"""`yurt.toml`: what it may say, and where in it something stands."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yurt.cli.failures import CommandError, ExitCode

FILE_NAME = "yurt.toml"

INCLUDE = ("**/*.py",)
"""The source of an app whose manifest does not say."""

Definition = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A read manifest.

    Args:
        definitions: for each function its keys as in the REST API, with the defaults, without `source`.
    """

    path: Path
    text: str
    app: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    definitions: dict[str, Definition]

    @property
    def place_of_app(self) -> str:
        """Where the app is named."""
        return f"{self.path}:{line_of(self.text, ('app',))[0]}"

    def place(self, function: str, key: str) -> str:
        """Where a key of a function is set, such as `yurt.toml:9`: by itself, else in the defaults, else its table."""
        for keys in (("functions", function, key), ("defaults", key), ("functions", function)):
            line, found = line_of(self.text, keys)
            if found == len(keys):
                return f"{self.path}:{line}"
        return str(self.path)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    The keys of functions are the server's to judge; everything around them is judged here.

    Raises:
        CommandError: it is not TOML, or breaks a rule; the message names the line.
    """
    try:
        text = path.read_text()
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{path}: {error}", code=ExitCode.USAGE) from error
    reader = _Reader(path, text)
    reader.check_keys(content, ("app", "source", "defaults", "functions"))
    source = reader.table(content, "source")
    reader.check_keys(source, ("include", "exclude"), "source")
    defaults = reader.table(content, "defaults")
    functions = reader.table(content, "functions")
    if not functions:
        raise reader.error("there are no functions", todo='Add one: [functions.NAME] with entrypoint = "main:NAME"')
    return Manifest(
        path=path,
        text=text,
        app=reader.app(content),
        include=reader.patterns(source, "include", INCLUDE),
        exclude=reader.patterns(source, "exclude", ()),
        definitions={name: _merged(defaults, reader.table(functions, name, "functions")) for name in functions},
    )


def _merged(defaults: Definition, own: Definition) -> Definition:
    """A function's own keys win over the defaults; variables of `env` do so one by one."""
    merged = defaults | own
    if isinstance(defaults.get("env"), dict) and isinstance(own.get("env"), dict):
        merged["env"] = defaults["env"] | own["env"]
    return merged


class _Reader:
    """Checks parts of a manifest and raises with their line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def error(self, what: str, *keys: str, todo: str | None = None) -> CommandError:
        line, _ = line_of(self._text, keys)
        place = f"{self._path}:{line}" if line else str(self._path)
        return CommandError(f"{place}: {what}", todo, ExitCode.USAGE)

    def check_keys(self, table: Mapping[str, Any], known: Iterable[str], *above: str) -> None:
        for key in table:
            if key not in known:
                nearest = difflib.get_close_matches(key, known, n=1)
                todo = f"Did you mean {nearest[0]}?" if nearest else f"Known here: {', '.join(known)}."
                raise self.error(f"unknown key {key!r}", *above, key, todo=todo)

    def table(self, content: Mapping[str, Any], key: str, *above: str) -> dict[str, Any]:
        value = content.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a table", *above, key)
        return value

    def app(self, content: Mapping[str, Any]) -> str:
        app = content.get("app")
        if not isinstance(app, str) or not app:
            raise self.error("the app needs a name", "app", todo='Add a line above all tables: app = "NAME"')
        return app

    def patterns(self, source: Mapping[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = source.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
            raise self.error(f'{key} must be a list of patterns, such as ["**/*.py"]', "source", key)
        return tuple(value)


def line_of(text: str, keys: tuple[str, ...]) -> tuple[int, int]:
    """Find a key in a TOML text: the line where it, or the nearest table around it, stands.

    Args:
        text: of the file.
        keys: the path to it, such as `("functions", "resize", "timeout")`.

    Returns:
        The number of the line, and how many of the keys it covers; both 0 where not even the first is seen.
    """
    table: list[str] = []
    best, covered = 0, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?([^\]]+)\]", line):
            table = here = _split(header[1])
        elif assignment := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            here = [*table, *_split(assignment[1])]
        else:
            continue
        common = min(len(here), len(keys))
        if common > covered and here[:common] == list(keys[:common]):
            best, covered = number, common
    return best, covered


def _split(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
