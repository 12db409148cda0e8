"""Whether the source of a function is what its definition says, as far as `yurt.domain.modules` can see it.

Where that cannot be seen, nothing is claimed, and the runner finds out when it starts.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from yurt.domain.classes import ClassSpec
from yurt.domain.modules import Binding, Body, Module, Shape, SourceError, parse_module
from yurt.domain.naming import did_you_mean, shown

MAX_MODULE_BYTES = 256 << 10
"""Larger modules are not read: a tree takes a hundred times the text, and the interpreter is held meanwhile."""

_LISTED = 12
_COMPILED = (".so", ".pyd", ".pyc")


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
