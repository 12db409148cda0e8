import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.commands import Yurt, wait_until
from tests.component.cli.fake_api import FakeApi
from yurt.cli.failures import Refused
from yurt.cli.main import COMMANDS, cli
from yurt.settings import Settings

YURT = [sys.executable, "-m", "yurt"]


def test_help_names_every_command_without_importing_it() -> None:
    code = "import sys; from yurt.cli.main import run; run(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert all(name in ran.stdout for name in COMMANDS)
    assert not any(heavy in ran.stderr for heavy in ("'aiohttp'", "'asyncio'", "'pydantic'", "'rich'"))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = cli.get_command(cli.make_context("yurt", ["--help"], resilient_parsing=True), name)

    assert command
    assert command.get_short_help_str(limit=100) == COMMANDS[name][1]


@pytest.mark.parametrize("group", ["schedule", "secret", "store", "token"])
def test_the_commands_of_a_group_are_named_in_whole_sentences(yurt: Yurt, group: str) -> None:
    assert "..." not in yurt(group, "--help").out.partition("Commands:")[2]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"schedule", "secret", "serve", "store", "token"}))
def test_every_command_prints_json_when_asked(name: str) -> None:
    command = cli.get_command(cli.make_context("yurt", ["--help"], resilient_parsing=True), name)

    assert command
    assert "as_json" in {parameter.name for parameter in command.params}


def test_an_unknown_command_is_wrong_usage(yurt: Yurt) -> None:
    ran = yurt("depoly")

    assert ran.code == 2
    assert "deploy" in ran.err


def test_no_server_is_unreachable(yurt: Yurt, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("YURT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("YURT_TOKEN", "tk-1:x")

        ran = yurt("apps")

    assert ran.code == 5
    assert "no answer from http://127.0.0.1:" in ran.err
    assert ran.err.splitlines()[0].endswith(": Connection refused")
    assert "yurt serve" in ran.err


def test_a_wrong_token_is_a_matter_of_credentials(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("apps", "--token", "tk-1:wrong")

    assert ran.code == 4
    assert ran.err == "Error: The token is not known.\nLog in with `yurt login URL`, or set YURT_TOKEN.\n"


@pytest.mark.parametrize(
    ("detail", "fields", "what"),
    [
        ("Line 1 is not an input. It must be an object.", [("", "must be an object")], None),
        ("?since: must be a time", [("?since", "must be a time")], None),
        ("Some values are not valid.", [("/gpu", "unknown type")], "/gpu: unknown type"),
        ("/gpu: no (and 1 more)", [("/gpu", "no"), ("/cpu", "must be a number")], "/gpu: no\n/cpu: must be a number"),
        ("", [], "the server answered with status 422"),
    ],
)
def test_a_refusal_says_all_that_the_server_says(detail: str, fields: list[tuple[str, str]], what: str | None) -> None:
    errors = [{"pointer": pointer, "message": message} for pointer, message in fields]

    assert Refused(422, {"detail": detail, "errors": errors}).what == (what or detail)


def test_the_help_of_serve_shows_every_setting(yurt: Yurt) -> None:
    words = yurt("serve", "--help").out.split()

    for name in Settings.model_fields:
        assert (f"--{name.replace('_', '-')}" in words) == (name != "secret_key")  # flags are in the list of processes
        assert f"(YURT_{name.upper()})" in words
    assert {"[127.0.0.1:7600]", "[*]"} <= set(words)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--listen", "0.0.0.0:7600"], "Add --allow-unisolated if everyone who can reach it may do that"),
        (["--listen", "here"], "listen: 'here' is not host:port"),
        (["--max-containers", "many"], "max_containers: "),
        (["--engine", "nomads"], "engine: "),
    ],
)
def test_settings_that_make_no_sense_are_wrong_usage(yurt: Yurt, flags: list[str], message: str) -> None:
    ran = yurt("serve", *flags)

    assert ran.code == 2
    assert message in ran.err
    assert "pydantic" not in ran.err


@pytest.mark.parametrize("flag", ["--nomad-ca-file", "--nomad-token-file", "--consul-ca-file", "--consul-token-file"])
def test_a_doctor_names_a_file_that_is_not_there(yurt: Yurt, flag: str) -> None:
    # Ports on which nothing listens.
    addresses = ["--nomad-address", "http://127.0.0.1:1", "--consul-address", "http://127.0.0.1:1"]
    ran = yurt("doctor", "--engine", "nomad", *addresses, flag, "/nowhere/at/all")

    assert ran.code == 2
    assert "/nowhere/at/all, cannot be read" in ran.err


def test_another_kind_of_server_is_recognized(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("apps", "--url", f"{api.url}/elsewhere")

    assert ran.code == 1
    assert "no JSON (text/html)" in ran.err
    assert "Is this the address of a Yurt server?" in ran.err


def test_no_token_at_all_says_where_to_get_one(yurt: Yurt) -> None:
    ran = yurt("apps")

    assert ran.code == 4
    assert "no token for http://127.0.0.1:7600" in ran.err


def test_a_url_that_is_none_is_wrong_usage(yurt: Yurt) -> None:
    assert yurt("apps", "--url", "ftp://x", "--token", "t").code == 2


class TestProcess:
    """Ends that need a process of their own."""

    @pytest.fixture
    def waiting(self, api: FakeApi) -> Iterator[subprocess.Popen[bytes]]:
        api.waits["slow:one"] = [f"reason {n}" for n in range(5)]
        api.cut = 1_000_000
        started = [*YURT, "call", "slow:one"]
        process = subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
        yield process
        process.kill()
        process.communicate()

    def test_an_interrupt_ends_the_waiting_alone_and_says_so(
        self, api: FakeApi, waiting: subprocess.Popen[bytes]
    ) -> None:
        wait_until(lambda: any(path.endswith("/events") for _, path, _ in api.requests))
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=30)

        assert waiting.returncode == 130
        assert b"Traceback" not in err
        assert b"fc-1 goes on. Its result: yurt get fc-1 --wait 60. To end it: yurt cancel fc-1\n" in err

    def test_a_reader_that_goes_away_ends_it_quietly(self, api: FakeApi) -> None:
        line = {"time": "2026-11-22T10:15:30Z", "stream": "stdout", "container_id": "co-1", "text": "x" * 1000}
        api.lines["/v1/functions/app:f/logs"] = [line] * 1000
        ran = subprocess.run(
            ["/bin/bash", "-c", '"$@" | head -n 1; exit ${PIPESTATUS[0]}', "-", *YURT, "logs", "app:f", "--follow"],
            capture_output=True,
            timeout=60,
            check=False,
        )

        assert ran.returncode == 141
        assert ran.stdout.count(b"\n") == 1
        assert ran.stderr == b""
