"""Secrets on a real server: who gets them, and where they are never found."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.served import Served, command, serving
from tests.postgres import PostgresServer
from yurt.domain.secrets import MasterKey

HUSH, NEW = "hush-3f1a-first", "hush-77c2-second"
SOURCE = """
import os, subprocess, sys, time

def show(name):
    return os.environ.get(name)

def length(name):
    return len(os.environ[name])

def child(name):
    code = f"import os; print(os.environ.get({name!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()

def pids():
    return [os.getppid(), os.getpid()]

def fail():
    raise ValueError("it broke")
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


async def set_secret(server: Served, name: str, values: dict[str, str]) -> None:
    put = await server.ask("PUT", f"/v1/secrets/{name}", {"values": values})
    assert put.status in {200, 201}, put.text


async def renew(server: Served, app: str) -> None:
    """End the containers of an app, so that the next call has a new one."""
    for one in (await server.ask("GET", "/v1/containers?state=ready")).json["data"]:
        if one["function"].startswith(f"{app}:"):
            assert (await server.ask("DELETE", f"/v1/containers/{one['container_id']}")).status in {200, 202, 204}
    async with asyncio.timeout(20):
        while (await server.ask("GET", "/v1/containers?state=ready")).json["data"]:
            await asyncio.sleep(0.05)


def files(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


async def test_a_function_reads_its_secret_and_a_new_container_the_changed_one(server: Served) -> None:
    await set_secret(server, "openai", {"KEY": HUSH, "SHARED": "secret"})
    await set_secret(server, "later", {"SHARED": "later", "OURS": "secret"})
    secrets = ["openai", "later"]
    await server.deploy("app", SOURCE, "show", "child", secrets=secrets, env={"OURS": "env"})

    assert (await server.call("app:show", "KEY"))["result"] == HUSH
    assert (await server.call("app:child", "KEY"))["result"] == HUSH
    assert (await server.call("app:show", "SHARED"))["result"] == "later"
    assert (await server.call("app:show", "OURS"))["result"] == "env"

    await set_secret(server, "openai", {"KEY": NEW})
    assert (await server.call("app:show", "KEY"))["result"] == HUSH  # the container that runs keeps what it has
    await renew(server, "app")
    assert (await server.call("app:show", "KEY"))["result"] == NEW


async def test_a_secret_stands_nowhere_but_in_the_worker(server: Served) -> None:
    bad = await server.ask("PUT", "/v1/secrets/openai", {"values": {"KEY": [HUSH], "YURT_X": HUSH}})
    assert bad.status == 422
    await set_secret(server, "openai", {"KEY": HUSH})
    await server.deploy("app", SOURCE, "length", "pids", "fail", secrets=["openai"])
    assert (await server.call("app:length", "KEY"))["result"] == len(HUSH)  # a result is stored as it is
    supervisor, worker = (await server.call("app:pids"))["result"]
    failed = await server.call("app:fail")
    assert failed["error"]["type"] == "ValueError"
    assert server.process is not None

    for pid in (server.process.pid, supervisor, worker):  # the worker sets its variables when it has begun
        for part in ("cmdline", "environ"):
            assert HUSH.encode() not in Path(f"/proc/{pid}/{part}").read_bytes(), part
    assert all(HUSH not in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))

    answers = [json.dumps(failed), bad.text]
    for path in ("secrets", "secrets/openai", "functions/app:fail", "functions/app:fail/revisions", "containers"):
        answers.append((await server.ask("GET", f"/v1/{path}")).text)  # noqa: PERF401 - each waits
    answers.append((await server.ask("GET", "/v1/apps/app/functions")).text)
    answers.append((await server.ask("GET", f"/v1/function-calls/{failed['call_id']}?include=args")).text)
    answers.append((await server.ask("GET", "/metrics")).text)
    assert HUSH not in "".join(answers)

    held = files(server.place)
    assert any(path.name == "yurt.db" for path in held)
    assert [path for path, data in held.items() if HUSH.encode() in data] == []  # the log and the write-ahead log, too
    key = (server.data / "secret-key").read_text().strip()
    assert [path.name for path, data in held.items() if key.encode() in data] == ["secret-key"]
    assert (server.data / "secret-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("by_file", [False, True])
async def test_a_key_that_was_given_reaches_no_container(tmp_path: Path, *, by_file: bool) -> None:
    key = MasterKey(b"k" * 32).text
    served = Served(tmp_path, environment={} if by_file else {"YURT_SECRET_KEY": key})
    if by_file:
        (tmp_path / "key").write_text(key + "\n")
        served.flags = ("--secret-key-file", os.fspath(tmp_path / "key"))
    try:
        await served.start()
        await set_secret(served, "openai", {"KEY": HUSH})
        await served.deploy("app", SOURCE, "show", "pids", secrets=["openai"])
        assert (await served.call("app:show", "KEY"))["result"] == HUSH
        assert (await served.call("app:show", "YURT_SECRET_KEY"))["result"] is None
        for pid in (await served.call("app:pids"))["result"]:
            assert key.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        assert not (served.data / "secret-key").exists()
        assert key not in served.output
    finally:
        await served.close()


async def refused(served: Served) -> str:
    process = await served.launch()
    async with asyncio.timeout(20):
        assert await process.wait() == 1
    return served.output.strip().splitlines()[-1]


async def test_rotation_lost_keys_and_restarts(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await set_secret(server, "openai", {"KEY": HUSH})
        await server.deploy("app", SOURCE, "show", secrets=["openai"])
        first = (server.data / "secret-key").read_text()
        words = ("--url", server.url, "--token", server.token)
        rotated = await command("secret", "rotate-key", "--json", *words)
        assert (json.loads(rotated.out)["secrets"], json.loads(rotated.out)["made"]) == (1, True)
        second = (server.data / "secret-key").read_text()
        assert second != first
        await server.kill()
        await server.start()
        assert (await server.call("app:show", "KEY"))["result"] == HUSH
        await server.stop()

        (server.data / "secret-key").unlink()
        assert "Put that file back from a copy, or give its content by YURT_SECRET_KEY" in await refused(server)
        assert not (server.data / "secret-key").exists()
        (server.data / "secret-key").write_text(first)
        told = await refused(server)
        assert "Add the missing key behind a comma" in told
        assert first.strip() not in server.output

        given = MasterKey(os.urandom(32)).text
        (server.data / "secret-key").unlink()
        server.environment = {"YURT_SECRET_KEY": f"{given},{second.strip()}"}
        await server.start()
        done = await command("secret", "rotate-key", "--json", "--url", server.url, "--token", server.token)
        assert (json.loads(done.out)["secrets"], json.loads(done.out)["made"]) == (1, False)
        await server.stop()
        server.environment = {"YURT_SECRET_KEY": given}
        await server.start()
        assert (await server.call("app:show", "KEY"))["result"] == HUSH


async def test_a_backup_has_the_key_and_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "second" / "data"
    place.parent.mkdir(0o711)
    async with serving(tmp_path) as server:
        await set_secret(server, "openai", {"KEY": HUSH})
        await server.deploy("app", SOURCE, "show", secrets=["openai"])
        done = await command("store", "backup", "--data-dir", server.data, place)
        assert (done.code, "with the key of secrets" in done.out) == (0, True)
        assert (place / "secret-key").stat().st_mode & 0o777 == 0o600
    async with serving(place.parent) as copy:
        assert (await copy.call("app:show", "KEY"))["result"] == HUSH


async def test_a_store_in_postgresql_has_secrets_too(tmp_path: Path, postgres: PostgresServer) -> None:
    database = postgres.database()
    async with serving(tmp_path) as server:
        await set_secret(server, "openai", {"KEY": HUSH})
        await server.deploy("app", SOURCE, "show", secrets=["openai"])
        await server.stop()
        moved = await command("store", "copy", "--json", "--data-dir", server.data, "--to", postgres.url(database))
        assert (moved.code, json.loads(moved.out)["rows"]["secrets"]) == (0, 1), moved.err
        server.flags = ("--store", postgres.url(database))
        await server.start()
        assert (await server.call("app:show", "KEY"))["result"] == HUSH
        await set_secret(server, "openai", {"KEY": NEW})
        await renew(server, "app")
        assert (await server.call("app:show", "KEY"))["result"] == NEW


async def test_a_value_from_standard_input_and_a_deploy_that_names_it(server: Served, tmp_path: Path) -> None:
    words: list[Any] = ["--url", server.url, "--token", server.token]
    arguments = [sys.executable, "-m", "yurt", "secret", "set", "openai", "-", *words]
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate(f"KEY={HUSH}\n".encode())
    assert (process.returncode, HUSH in (out + err).decode()) == (0, False)

    app = tmp_path / "app"
    app.mkdir()
    (app / "main.py").write_text(SOURCE)
    manifest = 'app = "app"\n\n[functions.show]\nentrypoint = "main:show"\nsecrets = ["opnai"]\n'
    (app / "yurt.toml").write_text(manifest)
    wrong = await command("deploy", app, *words)
    assert wrong.code == 2
    assert "yurt.toml:5" in wrong.err
    assert "Did you mean openai?" in wrong.err
    (app / "yurt.toml").write_text(manifest.replace("opnai", "openai"))
    assert (await command("deploy", app, *words)).code == 0
    assert (await server.call("app:show", "KEY"))["result"] == HUSH
    assert (await command("secret", "delete", "openai", *words)).code == 1
