"""What `yurt deploy` is pointed at: a folder with a manifest, or one file."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from yurt.cli.failures import CommandError, ExitCode
from yurt.cli.manifest import FILE_NAME, Definition, Manifest, read_manifest
from yurt.cli.sources import collect

LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Project:
    """An app as it stands in the file system.

    Args:
        root: what to watch for changes: the folder, or the file.
        definitions: of its functions, without `source`.
        files: the source they share, by path.
        manifest: None where the project is one file.
    """

    app: str
    root: Path
    definitions: dict[str, Definition]
    files: dict[str, bytes]
    manifest: Manifest | None = None


def read_project(path: Path) -> Project:
    """Read a folder or a file.

    Raises:
        CommandError: it is neither, or breaks a rule.
    """
    return _read_folder(path) if path.is_dir() else _read_file(path)


def _read_folder(root: Path) -> Project:
    if not (root / FILE_NAME).is_file():
        raise CommandError(
            f"{root} has no {FILE_NAME}", f"Write one with `yurt init {root}`, or deploy one file.", ExitCode.USAGE
        )
    manifest = read_manifest(root / FILE_NAME)
    files = collect(root.absolute(), manifest.include, manifest.exclude)
    if not files:
        raise CommandError(
            f"{manifest.path}: no file matches its source patterns",
            "Widen source.include, or look at .gitignore.",
            ExitCode.USAGE,
        )
    return Project(manifest.app, root, manifest.definitions, files, manifest)


def _read_file(path: Path) -> Project:
    try:
        text = path.read_text()
        tree = ast.parse(text, filename=str(path))
    except FileNotFoundError:
        raise CommandError(f"there is no {path}", "Give a folder or a Python file.", ExitCode.USAGE) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}", code=ExitCode.USAGE) from error
    except SyntaxError as error:
        raise CommandError(f"{path}:{error.lineno}: {error.msg}", code=ExitCode.USAGE) from error
    functions = public_functions(tree)
    if not functions:
        raise CommandError(
            f"{path} has no public function",
            "Define one at the top level whose name does not begin with an underscore.",
            ExitCode.USAGE,
        )
    module = module_name(path.stem)
    definitions: dict[str, Definition] = {name: {"entrypoint": f"{module}:{name}"} for name in functions}
    return Project(app_name(path.stem), path, definitions, {f"{module}.py": text.encode()})


def public_functions(tree: ast.Module) -> list[str]:
    """The names of a module's top-level functions that do not begin with an underscore, each once."""
    nodes = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return list(dict.fromkeys(node.name for node in nodes if not node.name.startswith("_")))


def module_name(stem: str) -> str:
    """A file's name as a module can bear it."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII)
    return name if name.isidentifier() else f"_{name}"


def app_name(stem: str) -> str:
    """A file's name as an app can bear it: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.

    Raises:
        CommandError: nothing of it can be kept.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).lstrip("-_.")[:LONGEST_NAME]
    if not name:
        raise CommandError(f"no app can be named after {stem!r}", "Give it a name: --name NAME", ExitCode.USAGE)
    return name
