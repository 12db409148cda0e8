"""A tour of Yurt in half a minute; run it with scripts/quickstart."""

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.stack.plan import Plan
from scripts.stack.ports import free_ports
from scripts.stack.programs import Unobtainable, cache_folder
from scripts.stack.stack import Failed, Stack

ROOT = Path(__file__).resolve().parent.parent
YURT = Path(sys.executable).with_name("yurt")

START_S = 30
STOP_S = 45
"""Running inputs may take 30 s to end when a server stops."""

TEXT = (
    "A yurt is a round tent. It is put up in an hour and taken down in less. Its wooden lattice folds like an"
    " accordion; the felt keeps out the wind, and the ring at the top lets out the smoke. Families carry everything"
    " they own with them, and pitch it where the grass is good."
)


class Tour:
    """Runs commands against one server, and prints them with what they answer and how long that took."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    def step(self, title: str) -> None:
        """Begin a part of the tour."""
        print(f"\n== {title}", flush=True)

    def yurt(self, *arguments: str) -> str:
        """Run the command `yurt`, and return what it wrote to stdout.

        Raises:
            SystemExit: it failed.
        """
        print(f"$ yurt {' '.join(map(shown, arguments))}", flush=True)
        began = time.perf_counter()
        ran = subprocess.run(
            [YURT, *arguments],
            env=os.environ | {"YURT_URL": self.url, "YURT_TOKEN": self.token},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
        for line in ran.stdout.splitlines():
            print(f"  {shortened(line)}")
        print(f"  ({time.perf_counter() - began:.2f} s)", flush=True)
        if ran.returncode:
            sys.exit(f"quickstart: that ended with {ran.returncode}; nothing is left running")
        return ran.stdout.strip()

    def rest(self, connection: HTTPConnection, function: str, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Call a function over REST; returns the answer and the milliseconds that it took."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        began = time.perf_counter()
        connection.request("POST", f"/v1/functions/{function}/invocations", json.dumps(body), headers)
        answer = json.load(connection.getresponse())
        return answer, (time.perf_counter() - began) * 1000


def shown(word: str) -> str:
    """A word of a command line, as one would type it."""
    return shlex.quote(shortened(word, 50)) if word else "''"


def shortened(line: str, most: int = 150) -> str:
    """The beginning of a long line."""
    return line if len(line) <= most else line[: most - 1] + "…"


@contextmanager
def server(home: Path, *flags: str, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A server with a data directory of its own on a free port; gives its address and token.

    Args:
        environment: beside this process's own.

    Raises:
        SystemExit: it does not become ready.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Containers of another user pass through this directory to their own; the data directory in it stays private.
    home.chmod(0o711)
    log = home / "server.log"
    places = ["--data-dir", str(home / "data"), "--run-dir", str(home / "run"), "--listen", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [YURT, "serve", *places, *flags], stdout=output, stderr=output, cwd=ROOT, env=os.environ | environment
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_ready(url, process, log)
        yield url, (home / "data" / "admin-token").read_text().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def cluster() -> Iterator[Stack]:
    """A Nomad cluster of its own, with simulated GPUs.

    Raises:
        SystemExit: it cannot be started; the reason is printed.
    """
    with free_ports() as first_port:
        # Short, because Nomad makes sockets deep in it, and their paths must fit 107 characters.
        stack = Stack(Plan(Path(tempfile.mkdtemp(prefix="yurt-stack-")), first_port))
        try:
            stack.up(cache_folder())
            yield stack
        except (Failed, Unobtainable) as error:
            sys.exit(f"quickstart: {error}")
        finally:
            stack.down()


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers.

    Raises:
        SystemExit: it has ended, or takes too long; its log is printed.
    """
    give_up_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up_at:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass  # it does not listen yet
        finally:
            connection.close()
        time.sleep(0.05)
    sys.exit(f"quickstart: the server did not start. Its log:\n{log.read_text()}")


def gpu_app(folder: Path) -> Path:
    """An app whose function asks for a GPU."""
    app = folder / "gpus"
    app.mkdir()
    (app / "yurt.toml").write_text('app = "gpus"\n\n[functions.mine]\nentrypoint = "main:mine"\ngpu = "H100"\n')
    (app / "main.py").write_text('import os\n\n\ndef mine():\n    return os.environ["CUDA_VISIBLE_DEVICES"]\n')
    return app


def tour(tour: Tour, pictures: Path, *, gpus: bool) -> None:
    """Show what there is.

    Args:
        pictures: a directory for what it writes.
        gpus: whether there are some.
    """
    tour.step("Deploy two apps: each is a folder with Python files and a yurt.toml")
    tour.yurt("deploy", "examples/text")
    tour.yurt("deploy", "examples/thumbs")

    tour.step("Call a function. No container runs yet: one is started, and kept warm for a minute")
    tour.yurt("call", "text:statistics", TEXT)
    tour.yurt("call", "text:keywords", TEXT, "limit=3")

    tour.step("Bytes go in from files and come out into files")
    tour.yurt("call", "thumbs:draw", "480", "300", "--output", str(pictures / "sunset.png"))
    tour.yurt(
        "call", "thumbs:resize", f"@{pictures / 'sunset.png'}", "width=96", "--output", str(pictures / "thumb.png")
    )

    tour.step("Spawn a call that takes its time, and fetch the result later")
    call_id = tour.yurt("spawn", "text:study", TEXT, "pause=0.3")
    tour.yurt("get", call_id, "--wait", "60")
    tour.yurt("logs", "--call", call_id)

    tour.step("The same over REST, without the command: a JSON body in, a JSON body out")
    rest_timings(tour)

    if gpus:
        tour.step("The cluster has GPUs (simulated); a function that asks for one is placed where it is free")
        tour.yurt("capacity")
        tour.yurt("deploy", str(gpu_app(pictures)))
        tour.yurt("call", "gpus:mine")

    tour.step("What runs now, and what becomes of it: idle containers end by themselves")
    tour.yurt("containers")


def rest_timings(tour: Tour) -> None:
    """Call a function over one connection: the first finds a warm container, and so do the others."""
    connection = HTTPConnection(urlsplit(tour.url).netloc, timeout=60)
    body = {"args": [TEXT], "kwargs": {"limit": 1}}
    print("POST /v1/functions/text:keywords/invocations")
    print(f"  {json.dumps(body)[:80]}…")
    answer, _ = tour.rest(connection, "text:keywords", body)
    print(f"  200 {shortened(json.dumps(answer))}")
    taken = sorted(tour.rest(connection, "text:keywords", body)[1] for _ in range(200))
    connection.close()
    print(f"  200 more, one after another: half of them took under {taken[100]:.1f} ms, the slowest {taken[-1]:.1f} ms")


def main() -> None:
    """Take the tour."""
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description="A tour of Yurt in half a minute.")
    parser.add_argument("--nomad", action="store_true", help="on a Nomad cluster that is started for it; needs root")
    nomad = parser.parse_args().nomad
    began = time.perf_counter()
    with ExitStack() as kept:
        home = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="yurt-quickstart-")))
        flags: tuple[str, ...] = ()
        environment: dict[str, str] = {}
        if nomad:
            stack = kept.enter_context(cluster())
            flags, environment = ("--engine", "nomad"), stack.environment()
            print(
                f"Yurt on Nomad: containers are its allocations. Its UI is at {stack.plan.nomad_address}/ui meanwhile."
            )
        else:
            print("Yurt on the local engine: containers are processes of this machine, and not isolated from it.")
        url, token = kept.enter_context(server(home, *flags, environment=environment))
        print(f"The server listens on {url}; it was ready after {time.perf_counter() - began:.2f} s.")
        tour(Tour(url, token), home, gpus=nomad)
    print(f"\nAll of it took {time.perf_counter() - began:.1f} s; the server and its data are gone again. To go on:\n")
    print("  .venv/bin/yurt serve              # a server that stays, at http://127.0.0.1:7600, with /docs")
    print("  .venv/bin/yurt init hello         # a first app; then, in another terminal:")
    print("  .venv/bin/yurt dev hello          # redeployed on every save")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
