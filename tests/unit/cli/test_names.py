import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.cli.dev import dev_name
from yurt.cli.failures import CommandError
from yurt.cli.project import app_name, module_name, public_functions
from yurt.cli.target import clean_url

A_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@given(st.text(min_size=1, max_size=100))
def test_whatever_a_file_is_called_its_app_has_a_fit_name(stem: str) -> None:
    try:
        name = app_name(stem)
    except CommandError:
        assert not re.search("[A-Za-z0-9]", stem)
    else:
        assert A_NAME.match(name)
        assert A_NAME.match(dev_name(name))


@given(st.text(min_size=1, max_size=20))
def test_whatever_a_file_is_called_its_module_can_be_imported(stem: str) -> None:
    assert module_name(stem).isidentifier()


@pytest.mark.parametrize(
    ("stem", "app", "module"),
    [("resize", "resize", "resize"), ("my-tool 2", "my-tool-2", "my_tool_2"), ("2fast", "2fast", "_2fast")],
)
def test_a_file_lends_its_name(stem: str, app: str, module: str) -> None:
    assert (app_name(stem), module_name(stem)) == (app, module)


def test_the_suffix_stays_when_a_name_is_cut() -> None:
    assert dev_name("thumbs") == "thumbs-dev"
    assert dev_name("a" * 64) == "a" * 60 + "-dev"


def test_public_functions_are_the_top_level_ones_without_underscore() -> None:
    source = (
        "def b(): ...\nasync def a(): ...\ndef _p(): ...\nclass C:\n  def m(self): ...\nd = lambda: 0\ndef b(): ..."
    )

    assert public_functions(ast.parse(source)) == ["b", "a"]


@pytest.mark.parametrize(
    ("given_url", "clean"),
    [
        ("http://127.0.0.1:7600", "http://127.0.0.1:7600"),
        ("127.0.0.1:7600", "http://127.0.0.1:7600"),
        ("https://yurt.example.org/", "https://yurt.example.org"),
        ("https://example.org/yurt/v1", "https://example.org/yurt"),
        ("http://127.0.0.1:7600/v1/", "http://127.0.0.1:7600"),
    ],
)
def test_an_address_is_brought_into_one_form(given_url: str, clean: str) -> None:
    assert clean_url(given_url) == clean


@pytest.mark.parametrize("url", ["ftp://x", "http://", "file:///etc/passwd"])
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(CommandError, match="is not the address of a server"):
        clean_url(url)
