"""What the source says about its functions, read from syntax trees and never by import.

Where a tree cannot tell (a decorator may replace the function, a name may be bound under a condition, or come from a
star import), nothing is claimed, and the runner finds out when it starts.
"""

import ast
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from yurt.domain.classes import ClassSpec
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
    """One name at the top of a module, or of a class in it.

    Args:
        is_async, required: of functions; the latter are its arguments without default, in their order.
        arguments: of functions, all that can be given by name, or None where it takes any.
        body: of classes.
        takes: of functions, how many arguments they name.
        unnamed: of functions, how they take any others (`*args`), if they do.
    """

    shape: Shape
    line: int
    is_async: bool = False
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

    def public_functions(self) -> list[str]:
        """Names of functions without a leading underscore, in the order of the file."""
        return [n for n, b in self.bindings.items() if b.shape in CALLED and not n.startswith("_")]


class SourceError(Exception):
    """The source contradicts the entrypoint.

    Args:
        message: what is wrong and what would be right.
        path: the file at fault, or None where it is a key of the definition.
        supported: False where the code is right and the server does not have the feature.
        key: which key of the definition, where no file is at fault; with its place where that is a list.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        supported: bool = True,
        key: str | tuple[str | int, ...] = "entrypoint",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.key = (key,) if isinstance(key, str) else key
        self.supported = supported


class SourceErrors(Exception):
    """The source contradicts the definition in several places."""

    def __init__(self, errors: Sequence[SourceError]) -> None:
        super().__init__(errors[0].message)
        self.errors = tuple(errors)


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
                f'{entrypoint} is a class: send kind "class" with its methods, or name a function', key="kind"
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

    def check_class(self, entrypoint: str, spec: ClassSpec, *, scheduled: bool, batched: bool) -> list[SourceError]:
        """What speaks against serving `module:name` as a class.

        Args:
            scheduled: it is called without arguments.
            batched: its method is called with lists.

        Raises:
            SourceError: it is not there.
        """
        binding = self._binding(entrypoint)
        if binding is None or binding.shape is Shape.UNKNOWN:
            return []
        if binding.body is None:
            return [SourceError(f"{entrypoint} is a function, not a class: leave kind out", key="kind")]
        found = list(class_problems(entrypoint, binding.body, spec, scheduled=scheduled))
        method = binding.body.bindings.get(spec.methods[0]) if batched else None
        if method is not None and method.shape is Shape.FUNCTION:
            problem = _batch_problem(method, method.takes - 1)  # the object itself is no list
            found += [SourceError(f"{entrypoint}.{spec.methods[0]} {problem}", key="batching")] if problem else []
        return found

    def generators(self, entrypoint: str, spec: ClassSpec) -> list[str]:
        """Those methods of a class that are known to be generators.

        Raises:
            SourceError: it is not there.
        """
        binding = self._binding(entrypoint)
        body = binding.body if binding is not None else None
        known = body.bindings if body is not None else {}
        return [name for name in spec.methods if name in known and known[name].shape is Shape.GENERATOR]

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

    def check_batched(self, entrypoint: str) -> None:
        """Check that `module:name` can take each of its arguments as a list, as batched functions do.

        Raises:
            SourceError: it cannot, or is not there.
        """
        binding = self._binding(entrypoint)
        if binding is None or binding.shape not in {Shape.FUNCTION, Shape.GENERATOR}:
            return
        if (problem := _batch_problem(binding, binding.takes)) is not None:
            raise SourceError(f"{entrypoint} {problem}", key="batching")

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
    is_async = isinstance(found, ast.AsyncFunctionDef)
    return Binding(shape, found.lineno, is_async, required, by_name, takes=takes, unnamed=unnamed)


def _body(found: ast.ClassDef) -> Body:
    bindings = _bindings(found.body)
    plain = all(isinstance(base, ast.Name) and base.id == "object" for base in found.bases)
    indirect = any(isinstance(node, ast.Name) and node.id in _INDIRECT for node in ast.walk(found))
    return Body(bindings, not plain or bool(found.keywords) or "__getattr__" in bindings or indirect)


def _batch_problem(binding: Binding, takes: int) -> str | None:
    """Why a function that names so many arguments cannot take each as a list, or None."""
    if binding.shape is Shape.GENERATOR:
        return "is a generator; a batched function returns a list"
    if binding.unnamed:
        return f"takes {_listed([*binding.unnamed])}; a batched function must name each of its arguments"
    return None if takes > 0 else "takes no argument; a batched function takes one list for each of its arguments"


def class_problems(entrypoint: str, body: Body, spec: ClassSpec, *, scheduled: bool) -> Iterator[SourceError]:
    """What a class that can be seen lacks, or has in another form than is wanted."""
    for key, names in (("methods", spec.methods), ("enter", spec.enter), ("exit", spec.exit)):
        for place, name in enumerate(names):
            found = body.bindings.get(name)
            if found is None and not body.open:
                yield SourceError(_no_such_method(entrypoint, name, body), key=(key, place))
            elif found is not None and found.shape is Shape.CLASS:
                yield SourceError(f"{entrypoint}.{name} is a class, not a method", key=(key, place))
            elif found is not None and found.shape is Shape.GENERATOR and key != "methods":
                message = f"{entrypoint}.{name} is a generator; a hook is called once, and returns"
                yield SourceError(message, key=(key, place))
            elif found is not None and key != "methods" and found.required[1:]:
                needs = _listed([*found.required[1:]])
                yield SourceError(f"{entrypoint}.{name} is called without arguments: give a default to {needs}",
                                  key=(key, place))  # fmt: skip
    if scheduled and (found := body.bindings.get(spec.methods[0])) is not None and found.required[1:]:
        needs = _listed([*found.required[1:]])
        message = f"{entrypoint}.{spec.methods[0]} must do without arguments: give a default to {needs}"
        yield SourceError(message, key="schedule")
    yield from _init_problems(entrypoint, body, spec)


def _init_problems(entrypoint: str, body: Body, spec: ClassSpec) -> Iterator[SourceError]:
    """Whether `__init__`, if there is one, takes the parameters and nothing else."""
    init = body.bindings.get("__init__")
    if init is None or init.shape is not Shape.FUNCTION:
        return
    known = [one.name for one in spec.parameters]
    for place, name in enumerate(known):
        if init.arguments is not None and name not in init.arguments[1:]:
            hint = did_you_mean(name, init.arguments[1:])
            yield SourceError(f"{entrypoint}.__init__ takes no {name}.{hint}", key=("parameters", place, "name"))
    if missing := [name for name in init.required[1:] if name not in known]:
        message = f"{entrypoint}.__init__ needs {_listed(missing)}, which parameters does not name"
        yield SourceError(message, key="parameters")


def _no_such_method(entrypoint: str, name: str, body: Body) -> str:
    known = [n for n, b in body.bindings.items() if b.shape is Shape.FUNCTION and not n.startswith("__")]
    has = f"it has {_listed(known)}.{did_you_mean(name, known)}" if known else "it has none"
    return f"{entrypoint} has no method {name}; {has}"


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
