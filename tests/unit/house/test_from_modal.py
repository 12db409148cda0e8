"""The page for those who come from Modal names keys that there are."""

import re
import tomllib
from pathlib import Path

import pytest

from yurt.domain.definitions import FunctionDefinition, parse_definition

PAGE = (Path(__file__).parents[3] / "docs" / "from-modal.md").read_text()
CLASS = {"kind": "class", "methods": ["embed"]}
KINDS = {"methods": CLASS, "enter": CLASS, "exit": CLASS, "parameters": CLASS}
SERVER = {"factory": {"kind": "asgi"}, "requires_auth": {"kind": "asgi"}}


def here() -> list[str]:
    """The middle column of the tables about definitions."""
    tables = PAGE.partition("## Calling")[0]
    return [line.split("|")[2] for line in tables.splitlines() if line.startswith("| ") and "---" not in line]


def snippets() -> list[str]:
    """What can be written in a definition, as the page writes it."""
    return [code for cell in here() for code in re.findall(r"`([a-z_]+ = [^`]+)`", cell)]


def test_every_key_of_a_definition_is_on_the_page() -> None:
    missing = [key for key in FunctionDefinition.model_fields if f"`{key}" not in PAGE and f"\n{key} = " not in PAGE]
    assert missing == []


@pytest.mark.parametrize("code", snippets())
def test_what_the_page_writes_can_be_read(code: str) -> None:
    key = code.partition(" ")[0]
    written = {"kind": "class", "methods": ["embed"]} if code == 'kind = "class"' else tomllib.loads(code)
    definition = {"entrypoint": "main:f", **(KINDS | SERVER).get(key, {}), **written}
    assert parse_definition(definition).entrypoint.startswith("main:")


def test_there_is_something_to_read() -> None:
    assert len(snippets()) > 12
    assert {code.partition(" ")[0] for code in snippets()} >= {"retries", "schedule", "concurrency", "batching", "web"}
