"""From the source and an entrypoint to a callable."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Callable, Dict, Tuple

from yurt_runner.errors import MAX_TEXT_BYTES, clean, describe, message_of

MAX_NAMES = 50
"""So many names does an error list at most."""

# Flags of a code object: `inspect` would cost 7 ms to import.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class EntrypointError(Exception):
    """The entrypoint names nothing that can be run; the message says what there is instead."""


def split_entrypoint(entrypoint: str) -> Tuple[str, str]:
    """Module and name of `main:resize`, `pkg.mod:run`, `pkg/mod:run` or `pkg/mod.py:run`.

    Raises:
        EntrypointError: it has another form.
    """
    module, _, name = entrypoint.partition(":")
    if "/" in module or module.endswith(".py"):
        module = (module.removesuffix(".py")).strip("/").replace("/", ".")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise EntrypointError(f'the entrypoint {entrypoint!r} does not have the form "module:function"')
    return module, name


def prepare_path(source: str) -> None:
    """Put the user's source first, and the runner's archive last, so that it shadows nothing.

    Modules that the runner has imported already make room for the user's own of the same name, as they would if the
    user's module were run as a script; the runner keeps those that it holds.
    """
    archive = sys.path.pop(0) if sys.path else ""
    sys.path.insert(0, source)
    if archive:
        sys.path.append(archive)
    for entry in os.listdir(source):
        name = entry.removesuffix(".py")
        module = sys.modules.get(name)
        if module is not None and getattr(module, "__file__", None) and name != "yurt_runner":
            for loaded in [other for other in sys.modules if other == name or other.startswith(name + ".")]:
                del sys.modules[loaded]


def load(entrypoint: str, source: str) -> Callable[..., Any]:
    """Import the module and find the function.

    Raises:
        EntrypointError: there is no such function, or it is of a kind that is not supported.
        BaseException: whatever the module raises.
    """
    return _checked(find(entrypoint, source), entrypoint)


def find(entrypoint: str, source: str) -> Any:
    """Import the module and find what the entrypoint names, whatever that is.

    Raises:
        EntrypointError: there is nothing of that name.
        BaseException: whatever the module raises.
    """
    module_name, name = split_entrypoint(entrypoint)
    module = importlib.import_module(module_name)
    try:
        return getattr(module, name)
    except AttributeError:
        raise EntrypointError(_no_such_name(module, name, source)) from None


def is_async(function: Callable[..., Any]) -> bool:
    """Whether it runs on an event loop: calling it gives a coroutine, or an asynchronous generator."""
    return bool(_flags(function) & (_COROUTINE | _ASYNC_GENERATOR))


def is_generator(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to iterate over, whose items are shown as they come."""
    return bool(_flags(function) & (_GENERATOR | _ASYNC_GENERATOR))


def _checked(found: Any, entrypoint: str) -> Callable[..., Any]:
    if isinstance(found, type):
        raise EntrypointError(f'{entrypoint} is a class: deploy it with kind "class" and its methods.')
    if not callable(found):
        raise EntrypointError(f"{entrypoint} is of type {type(found).__qualname__}, not a function.")
    result: Callable[..., Any] = found
    return result


def _flags(function: Any) -> int:
    """The flags of what a call would run: through partials, methods and callable objects."""
    while hasattr(function, "func") and not hasattr(function, "__code__"):
        function = function.func  # functools.partial
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code.co_flags if code is not None else 0


def _no_such_name(module: ModuleType, name: str, source: str) -> str:
    own = sorted(
        key for key, value in vars(module).items() if not key.startswith("_") and not isinstance(value, ModuleType)
    )
    where = os.path.relpath(str(module.__file__), source) if module.__file__ else module.__name__
    if not own:
        return f"{where} has no {name!r}; it defines nothing public."
    from difflib import get_close_matches

    near = get_close_matches(name, own, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    more = ", …" if len(own) > MAX_NAMES else ""
    return f"{where} has no {name!r}; it defines {', '.join(own[:MAX_NAMES])}{more}.{hint}"


def load_error(error: BaseException, source: str, hint: str) -> Dict[str, Any]:
    """The error of a load that failed.

    Args:
        hint: the server's setting that chooses the interpreter.
    """
    facts = describe(error, source)
    if isinstance(error, ModuleNotFoundError):
        message = message_of(error).rstrip(".")
        here = sorted(set(os.listdir(source)) - {"__pycache__"}) if os.path.isdir(source) else []
        has = f"The source holds {', '.join(here[:MAX_NAMES])}. " if here else ""
        where = f"{message}. {has}The interpreter is {sys.executable}"
        way_out = f"name the package in requirements, or choose another with the server's setting {hint}."
        facts["message"] = clean(f"{where}; {way_out}", MAX_TEXT_BYTES)
    elif isinstance(error, EntrypointError):
        facts["module"], facts["traceback"] = "yurt_runner", ""
    return facts
