from pathlib import Path

import pytest

from yurt.cli.failures import CommandError
from yurt.cli.manifest import Manifest, line_of, read_manifest

TEXT = """\
# what runs here
app = "thumbs"
source = { include = ["**/*.py"], exclude = ["tests/**"] }

[defaults]
memory = 512
env = { LOG_LEVEL = "info", REGION = "eu" }

[functions.resize]
entrypoint = "main:resize"
timeout = 60
env = { LOG_LEVEL = "debug" }

[functions."with.dots"]
entrypoint = "main:dots"
memory = 128
"""


def read(tmp_path: Path, text: str) -> Manifest:
    (tmp_path / "yurt.toml").write_text(text)
    return read_manifest(tmp_path / "yurt.toml")


def test_defaults_hold_unless_a_function_says_otherwise(tmp_path: Path) -> None:
    manifest = read(tmp_path, TEXT)

    assert (manifest.app, manifest.include, manifest.exclude) == ("thumbs", ("**/*.py",), ("tests/**",))
    assert manifest.definitions["resize"] == {
        "entrypoint": "main:resize",
        "timeout": 60,
        "memory": 512,
        "env": {"LOG_LEVEL": "debug", "REGION": "eu"},
    }
    assert manifest.definitions["with.dots"]["memory"] == 128


@pytest.mark.parametrize(
    ("function", "key", "line"),
    [("resize", "timeout", 11), ("resize", "memory", 6), ("resize", "gpu", 9), ("nobody", "gpu", None)],
)
def test_a_key_is_found_in_the_function_the_defaults_or_its_table(
    tmp_path: Path, function: str, key: str, line: int | None
) -> None:
    manifest = read(tmp_path, TEXT)

    assert manifest.place(function, key) == f"{manifest.path}:{line}" if line else str(manifest.path)


def test_the_nearest_table_is_named_where_a_key_is_not_seen() -> None:
    assert line_of(TEXT, ("functions", "resize", "retries")) == (9, 2)
    assert line_of(TEXT, ("elsewhere",)) == (0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('app = "a"\n[function.f]\nentrypoint = "m:f"\n', r"yurt\.toml:2: unknown key 'function'"),
        ('app = "a"\nsource = { includes = [] }\n[functions.f]\n', r"yurt\.toml:2: unknown key 'includes'"),
        ('app = "a"\nsource = "*.py"\n[functions.f]\n', r"yurt\.toml:2: source must be a table"),
        ('app = "a"\nsource = { include = "*.py" }\n[functions.f]\n', "include must be a list of patterns"),
        ('app = "a"\n[functions]\nf = 3\n', r"yurt\.toml:3: f must be a table"),
        ("app = 3\n[functions.f]\n", r"yurt\.toml:1: the app needs a name"),
        ("[functions.f]\n", r"yurt\.toml: the app needs a name"),
        ('app = "a"\n', "there are no functions"),
        ("app = \n", r"yurt\.toml: .*line 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        read(tmp_path, text)


def test_an_unknown_key_comes_with_the_nearest_word(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        read(tmp_path, 'app = "a"\n[functoins.f]\n')

    assert refused.value.todo == "Did you mean functions?"
