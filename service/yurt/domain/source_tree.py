"""What the source says about its functions, read from syntax trees and never by import.

Where a tree cannot tell (a decorator may replace the function, a name may be bound under a condition, or come from a
star import), nothing is claimed, and the runner finds out when it starts.
"""

import ast
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from yurt.domain.naming import did_you_mean, shown

MAX_MODULE_BYTES = 256 << 10
"""Larger modules are not read: a tree takes a hundred times the text, and the interpreter is held meanwhile."""

_LISTED = 12
_INDIRECT = {"globals", "locals", "vars", "exec", "setattr", "modules", "__dict__"}
"""Names whose use may bind names of a module that nobody sees."""

_COMPILED = (".so", ".pyd", ".pyc")
_Def: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Shape(StrEnum):
    """What a name of a module is bound to."""

    FUNCTION = "function"
    GENERATOR = "generator"
    CLASS = "class"
    UNKNOWN = "unknown"


CALLED = frozenset({Shape.FUNCTION, Shape.GENERATOR})
"""What can be served as a function."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One name at the top of a module. `is_async` and `required` (arguments without default) are of functions."""

    shape: Shape
    line: int
    is_async: bool = False
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Module:
    """What a module binds at its top. With `open` it may bind more than can be seen."""

    bindings: Mapping[str, Binding]
    open: bool

    def public_functions(self) -> list[str]:
        """Names of functions without a leading underscore, in the order of the file."""
        return [n for n, b in self.bindings.items() if b.shape in CALLED and not n.startswith("_")]


class SourceError(Exception):
    """The source contradicts the entrypoint.

    Args:
        message: what is wrong and what would be right.
        path: the file at fault, or None where it is a key of the definition.
        supported: False where the code is right and the server does not have the feature.
        key: which key of the definition, where no file is at fault.
    """

    def __init__(
        self, message: str, *, path: str | None = None, supported: bool = True, key: str = "entrypoint"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.key = key
        self.supported = supported


class SourceTree:
    """The files of a function's source, of which modules are parsed when they are asked for, once.

    Args:
        sizes: bytes of each file by path.
        read: gives one file's bytes.
        python: the version that will run it, or None where nobody knows.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        read: Callable[[str], bytes],
        python: tuple[int, int] | None = sys.version_info[:2],
    ) -> None:
        self._sizes = sizes
        self._read = read
        self._judges = python is not None and python <= sys.version_info[:2]
        self._parsed: dict[str, Module | None] = {}

    def check(self, entrypoint: str) -> None:
        """Check that `module:name` is there, and a function that can be served.

        Raises:
            SourceError: it is not.
        """
        binding = self._binding(entrypoint)
        if binding is not None and binding.shape is Shape.CLASS:
            raise SourceError(
                f"{entrypoint} is a class; classes are not supported yet: name a function", supported=False
            )

    def is_generator(self, entrypoint: str) -> bool:
        """Whether `module:name` is known to be a generator function; where the tree cannot tell, it is not.

        Raises:
            SourceError: it is not there.
        """
        module = self._module(entrypoint)
        binding = None if module is None else module.bindings.get(entrypoint.partition(":")[2])
        return binding is not None and binding.shape is Shape.GENERATOR

    def check_app(self, entrypoint: str) -> None:
        """Check that `module:name` is there, and may be an app: an object, or a function of any form.

        Raises:
            SourceError: it cannot.
        """
        binding = self._binding(entrypoint)
        if binding is not None and binding.shape is Shape.CLASS:
            raise SourceError(
                f"{entrypoint} is a class, not an app: name the object, or with factory a function that returns it"
            )

    def check_alone(self, entrypoint: str, key: str) -> None:
        """Check that `module:name` can be called without arguments, as `key` of the definition wants it.

        Raises:
            SourceError: it cannot, or is not there.
        """
        binding = self._binding(entrypoint)
        if binding is not None and binding.required:
            required = _listed([*binding.required])
            raise SourceError(f"{entrypoint} must do without arguments: give a default to {required}", key=key)

    def _binding(self, entrypoint: str) -> Binding | None:
        """What the entrypoint is bound to, or None where that cannot be seen."""
        name = entrypoint.partition(":")[2]
        module = self._module(entrypoint)
        if module is None:
            return None
        binding = module.bindings.get(name)
        if binding is None and not module.open:
            raise SourceError(_no_such_name(entrypoint, module))
        return binding

    def _module(self, entrypoint: str) -> Module | None:
        """The parsed module of the entrypoint, or None where it cannot be read as text."""
        name = entrypoint.partition(":")[0]
        stem = name.replace(".", "/")
        path = next((path for path in (f"{stem}/__init__.py", f"{stem}.py") if path in self._sizes), None)
        if path is None:
            if any(_is_compiled(path, stem) for path in self._sizes):
                return None
            raise SourceError(self._no_such_module(name))
        if path not in self._parsed:
            large = self._sizes[path] > MAX_MODULE_BYTES
            self._parsed[path] = None if large else self._parse(path)
        return self._parsed[path]

    def _parse(self, path: str) -> Module | None:
        """What is no Python here may be Python to a newer interpreter: then the runner finds out."""
        try:
            return parse_module(self._read(path), path)
        except SourceError:
            if self._judges:
                raise
            return None

    def _no_such_module(self, name: str) -> str:
        known = sorted({module for path in self._sizes if (module := _module_name(path))})
        if not known:
            return f"the source has no module {name}, nor any other .py file"
        return f"the source has no module {name}; it has {_listed(known)}.{did_you_mean(name, known)}"


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
    bindings: dict[str, Binding] = {}
    for statement in tree.body:
        for name, binding in _bound_by(statement):
            known = name in bindings
            bindings[name] = Binding(Shape.UNKNOWN, binding.line) if known else binding
    return Module(bindings, _is_open(tree, bindings))


def _bound_by(statement: ast.stmt) -> Iterator[tuple[str, Binding]]:
    """The names that a statement at the top of a module binds."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield statement.name, _function(statement)
        case ast.ClassDef():
            shape = Shape.UNKNOWN if statement.decorator_list else Shape.CLASS
            yield statement.name, Binding(shape, statement.lineno)
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
    return Binding(shape, found.lineno, isinstance(found, ast.AsyncFunctionDef), required)


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


def _no_such_name(entrypoint: str, module: Module) -> str:
    name = entrypoint.partition(":")[2]
    functions = [n for n, b in module.bindings.items() if b.shape in {Shape.FUNCTION, Shape.GENERATOR}]
    others = [n for n, b in module.bindings.items() if n not in functions and not n.startswith("__")]
    known = functions or others
    where = entrypoint.partition(":")[0]
    if not known:
        return f"{where} defines no {name}; it defines nothing"
    return f"{where} defines no {name}; it defines {_listed(known)}.{did_you_mean(name, known)}"


def _module_name(path: str) -> str | None:
    stem = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return stem if path.endswith(".py") and all(part.isidentifier() for part in stem.split(".")) else None


def _is_compiled(path: str, stem: str) -> bool:
    return path.startswith((f"{stem}.", f"{stem}/__init__.")) and path.endswith(_COMPILED)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(shown(name).strip('"') for name in names[:_LISTED]) + more


def _reader() -> str:
    return f"read as Python {sys.version_info.major}.{sys.version_info.minor}"
