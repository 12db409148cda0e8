"""`yurt init`."""

import shlex
from pathlib import Path

import click

from yurt.cli import output
from yurt.cli.command import json_option
from yurt.cli.failures import CommandError, ExitCode
from yurt.cli.manifest import FILE_NAME
from yurt.cli.project import app_name

MANIFEST = """\
app = "{app}"
source = {{ include = ["**/*.py"] }}   # what .gitignore names stays out

[defaults]                          # for every function below
memory = 256                        # MiB

[functions.greet]
entrypoint = "main:greet"           # module:function
timeout = 30                        # seconds
"""

MAIN = '''\
"""A function to begin with."""


def greet(name: str = "world", *, excited: bool = False) -> dict[str, object]:
    """Greet somebody. What is printed goes to the logs, what is returned to the caller."""
    print(f"greeting {name}")
    return {"greeting": f"Hello, {name}{'!' if excited else '.'}", "letters": len(name)}
'''


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@json_option
def init(folder: Path, as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Write a small app to begin with.

    Puts a yurt.toml and a main.py into FOLDER (by default this one), and overwrites nothing.
    """
    app = app_name(folder.absolute().name)
    contents = {folder / FILE_NAME: MANIFEST.format(app=app), folder / "main.py": MAIN}
    for path in contents:
        if path.exists():
            raise CommandError(f"{path} is there already", "Give another folder: yurt init FOLDER", ExitCode.USAGE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in contents.items():
            path.write_text(text)
    except OSError as error:
        raise CommandError(f"{folder} cannot be written: {error.strerror}", code=ExitCode.USAGE) from error
    if as_json:
        output.print_json({"app": app, "files": [str(path) for path in contents]})
        return
    output.notice(f"wrote {' and '.join(map(str, contents))}; next:")
    output.notice(f"  yurt deploy {shlex.quote(str(folder))}\n  yurt call {app}:greet Ada excited=true")
