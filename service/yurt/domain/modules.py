"""What the modules of a source bind, read from syntax trees and never by import.

Where a tree cannot tell (a decorator may replace the function, a name may be bound under a condition, or come from a
star import), nothing is claimed.
"""

import ast
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

_INDIRECT = {"globals", "locals", "vars", "exec", "setattr", "modules", "__dict__"}
"""Names whose use may bind names of a module that nobody sees."""

_Def: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Shape(StrEnum):
    """What a name of a module is bound to."""

    FUNCTION = "function"
    GENERATOR = "generator"
    CLASS = "class"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Binding:
    """One name at the top of a module, or of a class in it.

    Args:
        required: of functions, the arguments without default, in their order.
        arguments: of functions, all that can be given by name, or None where it takes any.
        body: of classes.
        takes: of functions, how many arguments they name.
        unnamed: of functions, how they take any others (`*args`), if they do.
    """

    shape: Shape
    line: int
    required: tuple[str, ...] = ()
    arguments: tuple[str, ...] | None = None
    body: "Body | None" = None
    takes: int = 0
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """What a class binds. With `open` it may have more than can be seen: it inherits, or makes names as it goes."""

    bindings: Mapping[str, Binding]
    open: bool


@dataclass(frozen=True, slots=True)
class Module:
    """What a module binds at its top. With `open` it may bind more than can be seen."""

    bindings: Mapping[str, Binding]
    open: bool


class SourceError(Exception):
    """The source contradicts the entrypoint.

    Args:
        message: what is wrong and what would be right.
        path: the file at fault, or None where it is a key of the definition.
        key: which key of the definition, where no file is at fault; with its place where that is a list.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        key: str | tuple[str | int, ...] = "entrypoint",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.key = (key,) if isinstance(key, str) else key


def parse_module(text: bytes, path: str) -> Module | None:
    """What a module binds at its top; None where the parser itself gives up.

    Args:
        text: the file.
        path: its name for messages.

    Raises:
        SourceError: it is not Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes are for the author's own interpreter to tell
            tree = ast.parse(text, path)
    except SyntaxError as error:
        raise SourceError(f"{path}:{error.lineno or 1}: {error.msg} ({_reader()})", path=path) from error
    except ValueError as error:
        raise SourceError(f"{path}: {error}", path=path) from error
    except (RecursionError, MemoryError):
        return None
    bindings = _bindings(tree.body)
    return Module(bindings, _is_open(tree, bindings))


def _bindings(statements: list[ast.stmt]) -> dict[str, Binding]:
    """What statements bind; of a name that is bound twice nobody knows what it is."""
    bindings: dict[str, Binding] = {}
    for statement in statements:
        for name, binding in _bound_by(statement):
            known = name in bindings
            bindings[name] = Binding(Shape.UNKNOWN, binding.line) if known else binding
    return bindings


def _bound_by(statement: ast.stmt) -> Iterator[tuple[str, Binding]]:
    """The names that a statement at the top of a module binds."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield statement.name, _function(statement)
        case ast.ClassDef():
            shape = Shape.UNKNOWN if statement.decorator_list else Shape.CLASS
            yield statement.name, Binding(shape, statement.lineno, body=_body(statement))
        case ast.Import() | ast.ImportFrom():
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0], Binding(Shape.UNKNOWN, statement.lineno)
        case _:
            for name in _names_within(statement):
                yield name, Binding(Shape.UNKNOWN, statement.lineno)


def _function(found: _Def) -> Binding:
    if found.decorator_list:
        return Binding(Shape.UNKNOWN, found.lineno)
    arguments = found.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = positional[: len(positional) - len(arguments.defaults)]
    named = [arg for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None]
    shape = Shape.GENERATOR if any(_own_yields(found)) else Shape.FUNCTION
    required = tuple(arg.arg for arg in (*needed, *named))
    takes = len(positional) + len(arguments.kwonlyargs)
    more = (("*", arguments.vararg), ("**", arguments.kwarg))
    unnamed = tuple(stars + arg.arg for stars, arg in more if arg is not None)
    by_name = None if arguments.kwarg else tuple(arg.arg for arg in (*arguments.args, *arguments.kwonlyargs))
    return Binding(shape, found.lineno, required, by_name, takes=takes, unnamed=unnamed)


def _body(found: ast.ClassDef) -> Body:
    bindings = _bindings(found.body)
    plain = all(isinstance(base, ast.Name) and base.id == "object" for base in found.bases)
    indirect = any(isinstance(node, ast.Name) and node.id in _INDIRECT for node in ast.walk(found))
    return Body(bindings, not plain or bool(found.keywords) or "__getattr__" in bindings or indirect)


def _own_yields(found: _Def) -> Iterator[ast.AST]:
    """The yields of a function itself, not those of functions inside it."""
    for node in _walk(found.body):
        if isinstance(node, ast.Yield | ast.YieldFrom):
            yield node


def _names_within(statement: ast.stmt) -> Iterator[str]:
    """Names bound anywhere in a statement and the blocks inside it, apart from the scopes inside it."""
    for node in _walk([statement]):
        match node:
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name


def _walk(nodes: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes below, without going into functions, classes and lambdas. Not recursive: trees can be deep."""
    waiting: list[ast.AST] = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def _is_open(tree: ast.Module, bindings: Mapping[str, Binding]) -> bool:
    """Whether the module may have names that no statement at its top shows."""
    if "__getattr__" in bindings or "*" in bindings:
        return True
    return any(
        isinstance(node, ast.Global)
        or (isinstance(node, ast.Name) and node.id in _INDIRECT)
        or (isinstance(node, ast.Attribute) and node.attr in _INDIRECT)
        for node in ast.walk(tree)
    )


def _reader() -> str:
    return f"read as Python {sys.version_info.major}.{sys.version_info.minor}"
