import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.served import Served
from tests.commands import Yurt, wait_until

EXAMPLES = Path(__file__).parents[3] / "examples"

MAIN = """
import os
import time


def add(a, b=0):
    print(f"adding {a} and {b}")
    return a + b


def echo(data):
    return data


def fail():
    raise ValueError("no good")


def wait(seconds):
    time.sleep(seconds)
    return "waited"
"""


@pytest.fixture
def app(yurt: Yurt, tmp_path: Path) -> Iterator[Path]:
    """The file `basics.py`, deployed."""
    path = tmp_path / "basics.py"
    path.write_text(MAIN)
    deployed = yurt("deploy", path)
    assert deployed.code == 0, deployed.err
    yield path
    yurt("stop", "basics")


def test_a_file_is_deployed_changed_and_stopped(yurt: Yurt, app: Path) -> None:
    again = json.loads(yurt("deploy", app, "--json").out)
    app.write_text(MAIN.replace("def fail", "def _fail").replace("a + b", "b + a"))
    dry = yurt("deploy", app, "--dry-run", "--json")
    changed = json.loads(yurt("deploy", app, "--json").out)

    assert again["unchanged"] == ["add", "echo", "fail", "wait"]
    assert json.loads(dry.out) == changed
    assert changed["removed"] == ["fail"]
    assert [one["revision"] for one in changed["updated"]] == [2, 2, 2]
    assert [one["name"] for one in json.loads(yurt("functions", "basics", "--json").out)] == ["add", "echo", "wait"]
    assert yurt("stop", "basics").code == 0
    assert yurt("call", "basics:add", 1).code == 3


def test_a_call_prints_its_result_and_its_log(yurt: Yurt, app: Path) -> None:
    ran = yurt("call", "basics:add", 3, "b=4")

    assert (ran.code, ran.out) == (0, "7\n")
    assert "adding 3 and 4" in ran.err


def test_bytes_make_the_round_trip(yurt: Yurt, app: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)))

    ran = yurt("call", "basics:echo", f"@{tmp_path}/in", "--output", tmp_path / "out")

    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / "out").read_bytes() == bytes(range(256))


def test_a_failed_call_says_where_and_why(yurt: Yurt, app: Path) -> None:
    ran = yurt("call", "basics:fail")

    assert (ran.code, ran.out) == (1, "")
    assert 'File "basics.py", line 16, in fail' in ran.err
    assert "ValueError: no good" in ran.err


def test_wrong_arguments_are_the_callers_fault(yurt: Yurt, app: Path) -> None:
    ran = yurt("call", "basics:add")

    assert ran.code == 1
    assert "missing 1 required positional argument: 'a'" in ran.err


def test_a_long_call_says_what_it_does_meanwhile(yurt: Yurt, app: Path) -> None:
    ran = yurt("call", "basics:wait", 2.5)

    assert (ran.code, ran.out) == (0, '"waited"\n')
    assert "running" in ran.err.splitlines()


def test_a_spawned_call_is_fetched_when_it_is_ready(yurt: Yurt, app: Path) -> None:
    call_id = yurt("spawn", "basics:wait", 3).out.strip()
    early = yurt("get", call_id)
    late = yurt("get", call_id, "--wait", "30")

    assert (early.code, early.out) == (6, "")
    assert (late.code, late.out) == (0, '"waited"\n')


def test_a_failed_call_is_repeated(yurt: Yurt, app: Path) -> None:
    failed = yurt("spawn", "basics:fail", "--priority", "3", "--delay", "0.1", "--queue-timeout", "60").out.strip()
    assert yurt("get", failed, "--wait", "30").code == 1

    again = yurt("redrive", failed).out.strip()

    assert yurt("get", again, "--wait", "30").code == 1
    assert json.loads(yurt("get", again, "--json").out)["redrive_of"] == failed
    assert yurt("redrive", "basics:fail", "--since", "1h").out == "1\n"
    misspelt = yurt("redrive", "basics:fail", "--since", "1h", "--outcome", "timeuot")
    assert (misspelt.code, "timeout" in misspelt.err) == (2, True)
    assert yurt("redrive", yurt("spawn", "basics:add", 1, 2, "--delay", 600).out.strip()).code != 0


def test_a_cancelled_call_stays_cancelled(yurt: Yurt, app: Path) -> None:
    call_id = yurt("spawn", "basics:wait", 600).out.strip()

    assert [yurt("cancel", call_id).code for _ in range(2)] == [0, 0]
    ran = yurt("get", call_id)
    assert ran.code == 1
    assert "cancelled" in ran.err


def test_logs_are_found_by_function_call_and_container(yurt: Yurt, app: Path) -> None:
    call_id = json.loads(yurt("call", "basics:add", 1, "b=2", "--json").out)["call_id"]
    (line,) = [json.loads(text) for text in yurt("logs", "--call", call_id, "--json").out.splitlines()]

    assert (line["text"], line["stream"], line["call_id"]) == ("adding 1 and 2", "stdout", call_id)
    assert "adding 1 and 2" in yurt("logs", "basics:add", "--search", "1 and 2", "--since", "5m").out
    assert "adding 1 and 2" in yurt("logs", "--container", line["container_id"]).out
    assert line["container_id"] in yurt("containers", "--function", "basics:add").out


def test_a_definition_that_is_refused_is_shown_with_its_line(yurt: Yurt, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(): ...\n")
    (tmp_path / "yurt.toml").write_text('app = "bad"\n[functions.f]\nentrypoint = "m:f"\ntimout = 3\nmemory = -1\n')

    ran = yurt("deploy", tmp_path)

    assert ran.code == 2
    assert f"{tmp_path}/yurt.toml:4: f.timout:" in ran.err
    assert "timeout" in ran.err
    assert f"{tmp_path}/yurt.toml:5: f.memory:" in ran.err
    assert "bad" not in yurt("apps").out


def test_large_source_is_deployed_as_a_bundle(yurt: Yurt, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("from data import D\n\ndef size():\n    return len(D)\n")
    (tmp_path / "data.py").write_text(f"D = {'x' * 1_200_000!r}\n")
    (tmp_path / "yurt.toml").write_text('app = "large"\n[functions.size]\nentrypoint = "m:size"\n')

    deployed = yurt("deploy", tmp_path)
    ran = yurt("call", "large:size")
    yurt("stop", "large")

    assert deployed.code == 0, deployed.err
    assert ran.out == "1200000\n"


def test_a_narrow_token_may_call_and_not_deploy(yurt: Yurt, app: Path, server: Served) -> None:
    secret = yurt("token", "create", "caller", "--role", "invoke").out.strip()
    called = yurt("call", "basics:add", 1, "--token", secret)
    deployed = yurt("deploy", app, "--token", secret)
    yurt("token", "revoke", secret.split(":")[0])
    revoked = yurt("call", "basics:add", 1, "--token", secret)

    assert (called.code, called.out) == (0, "1\n")
    assert (deployed.code, revoked.code) == (4, 4)


def test_login_stores_a_token_that_works(yurt: Yurt, server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YURT_URL")
    monkeypatch.delenv("YURT_TOKEN")
    monkeypatch.setattr("sys.stdin", io.StringIO(server.token))

    assert yurt("login", server.url).code == 0
    assert yurt("apps").code == 0


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_the_examples_can_be_deployed(yurt: Yurt, example: str) -> None:
    deployed = yurt("deploy", EXAMPLES / example)
    yurt("stop", example)

    assert deployed.code == 0, deployed.err
    assert "Warning" not in deployed.err


def test_dev_redeploys_streams_and_stops(yurt: Yurt, tmp_path: Path) -> None:
    script = tmp_path / "live.py"
    script.write_text("def greet(name):\n    print('greeting')\n    return 'Hello ' + name\n")
    output = tmp_path / "output"
    with output.open("w") as file:
        dev = subprocess.Popen(
            [sys.executable, "-m", "yurt", "dev", str(script)], stdout=file, stderr=file, env=os.environ
        )
    try:
        wait_until(lambda: "live-dev:greet created" in output.read_text())
        assert yurt("call", "live-dev:greet", "Ada").out == '"Hello Ada"\n'
        wait_until(lambda: "greeting" in output.read_text())

        script.write_text("def greet(name:\n")
        wait_until(lambda: "live.py:1:" in output.read_text())
        assert yurt("call", "live-dev:greet", "Ada").out == '"Hello Ada"\n'

        script.write_text("def greet(name):\n    return 'Bye ' + name\n")
        wait_until(lambda: "updated to revision 2" in output.read_text())
        wait_until(lambda: yurt("call", "live-dev:greet", "Ada").out == '"Bye Ada"\n')
        dev.send_signal(signal.SIGINT)
        assert dev.wait(60) == 130
    finally:
        dev.kill()
        dev.wait()

    assert "live-dev" not in yurt("apps").out
    assert "Traceback" not in output.read_text()


def test_callback_secrets_are_shown_and_replaced(yurt: Yurt) -> None:
    (first,) = json.loads(yurt("callback-secrets", "--json").out)["secrets"]
    rotated = yurt("callback-secrets", "--rotate")
    assert rotated.code == 0, rotated.err
    _, new, old = rotated.out.splitlines()
    assert old.startswith(first["secret"])
    assert new.startswith("whsec_")
    assert new.endswith("current")


def test_spawn_takes_a_callback(yurt: Yurt, app: Path) -> None:
    refused = yurt("spawn", "basics:add", "1", "--callback-url", "http://10.0.0.1/")
    assert refused.code == 2, refused.err
    assert "not a public address" in refused.err


def test_a_function_is_called_with_every_line_of_a_file(yurt: Yurt, app: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.ndjson"
    inputs.write_text("".join(f'{{"args": [{n}], "kwargs": {{"b": 1}}}}\n' for n in range(300)))
    mapped = yurt("map", "basics:add", inputs)
    inputs.write_text('{"args": [1]}\n{"args": ["x"], "kwargs": {"b": 1}}\n{"args": [2]}\n')
    failed = yurt("map", "basics:add", inputs, "--keep-going", "--json")
    inputs.write_text('{"args": [1]}\nnothing\n')
    cut = yurt("map", "basics:add", inputs)

    assert mapped.code == 0, mapped.err
    assert mapped.out.splitlines() == [str(n + 1) for n in range(300)]
    assert failed.code == 1
    assert [json.loads(line)["status"] for line in failed.out.splitlines()] == ["success", "failure", "success"]
    assert "2 succeeded, 1 failed" in failed.err
    assert "yurt redrive fc-" in failed.err
    assert (cut.code, cut.out) == (1, "1\n")
    assert "Line 2" in cut.err
