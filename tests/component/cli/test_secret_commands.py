import io
import json
from pathlib import Path

import pytest

from tests.commands import Yurt
from tests.component.cli.fake_api import FakeApi

HUSH = "hush-hush-hush"


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_secret_is_set_listed_and_deleted_without_being_printed(api: FakeApi, yurt: Yurt) -> None:
    made = yurt("secret", "set", "openai", f"KEY={HUSH}", "ORG=a=b")
    again = yurt("secret", "set", "openai", f"KEY={HUSH}", "EMPTY=", "--json", "-e", "staging")
    listed, told = yurt("secret", "list"), yurt("secret", "list", "--json")

    assert api.bodies == [{"values": {"KEY": HUSH, "ORG": "a=b"}}, {"values": {"KEY": HUSH, "EMPTY": ""}}]
    assert (made.code, made.out, made.err) == (0, "", "made openai in main: KEY, ORG\n")
    assert json.loads(again.out)["environment"] == "staging"
    assert listed.out.splitlines()[1].split()[:4] == ["openai", "main", "EMPTY,", "KEY"]
    assert [one["name"] for one in json.loads(told.out)] == ["openai"]
    assert HUSH not in "".join(ran.out + ran.err for ran in (made, again, listed, told))

    deleted, gone = yurt("secret", "delete", "openai"), yurt("secret", "delete", "openai")
    assert (deleted.code, deleted.err) == (0, "deleted openai\n")
    assert gone.code == 3
    assert api.secrets == {}


def test_values_come_from_standard_input(api: FakeApi, yurt: Yurt, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "# a comment\nexport KEY='two words'\n\nORG=x # for us\nLINES=\"a\\nb\"\nREF=${HOME}\n")
    assert yurt("secret", "set", "openai", "-").code == 0
    typed(monkeypatch, "-----BEGIN-----\nabc\n-----END-----\n")
    assert yurt("secret", "set", "tls", "CERT=-", "NAME=x").code == 0

    assert api.secrets["openai"] == {"KEY": "two words", "ORG": "x", "LINES": "a\nb", "REF": "${HOME}"}
    assert api.secrets["tls"] == {"CERT": "-----BEGIN-----\nabc\n-----END-----", "NAME": "x"}


def test_values_come_from_a_file_and_the_command_line_wins(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("KEY=file\nORG=file\n")
    assert yurt("secret", "set", "openai", "KEY=line", "--from-file", file).code == 0
    assert api.secrets["openai"] == {"KEY": "line", "ORG": "file"}


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), "", "there are no variables"),
        (("KEY=x", HUSH), "", "value 2 is not KEY=VALUE"),
        ((f"={HUSH}",), "", "value 1 is not KEY=VALUE"),
        (("-",), "", "there are no variables"),
        (("-",), f"A=1\n{HUSH}\n", "standard input, line 2: not KEY=VALUE"),
        (("-",), f"A=1\n{HUSH} = '\n", "standard input, line 2: not KEY=VALUE"),
        (("-", "KEY=-"), f"A={HUSH}\n", "once only"),
        (("--from-file", "/nowhere/.env"), "", "/nowhere/.env cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_without_repeating_it(
    api: FakeApi, yurt: Yurt, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], stdin: str, message: str
) -> None:
    typed(monkeypatch, stdin)
    ran = yurt("secret", "set", "openai", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert HUSH not in ran.err
    assert api.secrets == {}


def test_a_file_that_is_no_text(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"KEY=\xff\n")
    ran = yurt("secret", "set", "openai", "--from-file", tmp_path / "x")
    assert (ran.code, "not text in UTF-8" in ran.err) == (2, True)


def test_a_rotation_says_what_to_do_where_the_key_was_given(api: FakeApi, yurt: Yurt) -> None:
    ran, told = yurt("secret", "rotate-key"), yurt("secret", "rotate-key", "--json")
    assert (ran.code, ran.out) == (0, "")
    assert "0 secrets were encrypted anew; all are under the key 5f0c now" in ran.err
    assert "rotate-key --help" in ran.err
    assert json.loads(told.out) == {"key_id": "5f0c", "made": False, "secrets": 0}
