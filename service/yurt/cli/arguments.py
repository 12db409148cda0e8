"""How the words after `yurt call app:function` become arguments.

3  '{"a": 1}'  true      JSON where it parses
hello                    a string where it does not
width=200                by name, where the part before = is a Python identifier; its value is read the same way
@photo.jpg  @-           the bytes of a file, of stdin
'"a=b"'                  a string in JSON's quotes is always a string, whatever is in it
-- a=b @c                after --, words are never names or files
"""

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from yurt.cli.failures import CommandError, ExitCode


def parse_arguments(words: Sequence[str], literal: Sequence[str] = ()) -> dict[str, Any]:
    """The body of an invocation.

    Args:
        words: before `--`.
        literal: after it.

    Raises:
        CommandError: a file cannot be read, or a name is given twice.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, rest = word.partition("=")
        if equals and name.isidentifier():
            if name in kwargs:
                raise CommandError(f"{name} is given twice", code=ExitCode.USAGE)
            kwargs[name] = _value(rest)
        else:
            args.append(_value(word))
    args.extend(_json_or_text(word) for word in literal)
    return {"args": args, "kwargs": kwargs}


def _value(word: str) -> Any:
    if not word.startswith("@"):
        return _json_or_text(word)
    try:
        content = sys.stdin.buffer.read() if word == "@-" else Path(word[1:]).read_bytes()
    except OSError as error:
        raise CommandError(
            f"{word[1:]} cannot be read: {error.strerror}",
            f"For the text {word!r} itself, put it in JSON's quotes or behind --.",
            ExitCode.USAGE,
        ) from error
    return {"$bytes": base64.b64encode(content).decode()}


def _json_or_text(word: str) -> Any:
    try:
        return json.loads(word, parse_constant=_no_constant)
    except ValueError:
        return word


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
