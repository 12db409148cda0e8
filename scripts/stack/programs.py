"""Where the programs `nomad` and `consul` come from.

From the PATH, else from the cache, else the official release, else built from their Go modules, which takes minutes,
once. Both have a licence (BUSL-1.1) under which Yurt does not ship them.
"""

import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

RELEASES = "https://releases.hashicorp.com"
DOWNLOAD_S = 300
CONNECT_TRIES = 2
GO_TRIES = 4
GO_PAUSE_S = 10
GO = ("go", "/usr/local/go/bin/go")
BUILD_S = 3600
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Say = Callable[[str], None]


class Unobtainable(Exception):
    """A program was found nowhere; the message says what was tried, and what to do."""


@dataclass(frozen=True)
class Program:
    """A program, and how it is built.

    Attributes:
        version: the one that is downloaded or built.
        least: the oldest that is taken from the PATH.
        modules: those of its own repository, with the versions that belong to this one: its `go.mod` takes them from
            folders that the module proxy does not have.
        environment: of the build.
        flags: of `go build`.
    """

    name: str
    version: str
    least: tuple[int, int]
    modules: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The Go module it is in."""
        return f"github.com/hashicorp/{self.name}"


NOMAD = Program(
    name="nomad",
    version="1.11.3",
    least=(1, 10),
    modules={"api": "v0.0.0-20260324203407-b27b0c2e019a"},
    environment={"CGO_ENABLED": "1"},
    flags=("-tags", "ui codegen_generated hashicorpmetrics release"),
)
CONSUL = Program(
    name="consul",
    version="1.22.6",
    least=(1, 20),
    modules={
        "api": "v1.33.4",
        "envoyextensions": "v0.9.4",
        "proto-public": "v0.7.2",
        "sdk": "v0.17.2",
        "troubleshoot": "v0.8.5",
    },
    environment={"CGO_ENABLED": "0", "GONOSUMDB": "github.com/hashicorp/consul/*"},
)


def cache_folder() -> Path:
    """Where programs are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yurt" / "bin"


def found(program: Program, cache: Path) -> Path | None:
    """The path of a program that need not be obtained, if it is there."""
    kept = _kept(program, cache)
    return find_on_path(program)[0] or (kept if kept.exists() else None)


def obtain(program: Program, say: Say, cache: Path) -> Path:
    """The path of a program, which may have to be downloaded or built.

    Args:
        say: is told what takes long.
        cache: where it is then kept, such as `cache_folder()`.

    Raises:
        Unobtainable: no way led to it.
    """
    on_path, why_not_path = find_on_path(program)
    if on_path:
        return on_path
    kept = _kept(program, cache)
    with _alone(kept):
        if kept.exists():
            return kept
        tried = [why_not_path]
        for way in (download, build):
            half = kept.with_name(f".{kept.name}.half")
            try:
                way(program, half, say)
                half.chmod(0o755)
                half.replace(kept)
            except Unobtainable as error:
                say(str(error))
                tried.append(str(error))
            else:
                return kept
    steps = "\n".join(f"  - {step}" for step in tried)
    raise Unobtainable(
        f"{program.name} {program.version} cannot be obtained:\n{steps}\nInstall {program.name}, put the program at"
        f" {kept}, or install Go (https://go.dev/dl) so that it can be built"
    )


def find_on_path(program: Program) -> tuple[Path | None, str]:
    """What the PATH has, if it is new enough, and else why not."""
    path = shutil.which(program.name)
    if path is None:
        return None, f"{program.name} is not on the PATH"
    ran = subprocess.run([path, "version"], capture_output=True, text=True, timeout=60, check=False)
    said = re.search(r"v(\d+)\.(\d+)", ran.stdout)
    if said is None:
        return None, f"{path} does not say its version"
    if (int(said[1]), int(said[2])) < program.least:
        least = ".".join(map(str, program.least))
        return None, f"{path} is {said[0]}, older than {least}"
    return Path(path), ""


def _kept(program: Program, cache: Path) -> Path:
    return cache / f"{program.name}-{program.version}"


@contextmanager
def _alone(kept: Path) -> Iterator[None]:
    """One process at a time obtains a program; the others wait for it."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / f".{kept.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download(program: Program, to: Path, say: Say) -> None:
    """Take a program from the official release.

    Raises:
        Unobtainable: it is not to be had, or is not what its checksum says.
    """
    machine = ARCHITECTURES.get(platform.machine())
    if platform.system() != "Linux" or machine is None:
        raise Unobtainable(f"no official release for {platform.system()} on {platform.machine()} is known here")
    base = f"{RELEASES}/{program.name}/{program.version}/{program.name}_{program.version}"
    archive_name = f"{program.name}_{program.version}_linux_{machine}.zip"
    sums = _fetch(f"{base}_SHA256SUMS", say).decode()
    wanted = {line.split()[1]: line.split()[0] for line in sums.splitlines() if len(line.split()) == 2}
    say(f"downloading {archive_name}")
    archive = _fetch(f"{base}_linux_{machine}.zip", say)
    if hashlib.sha256(archive).hexdigest() != wanted.get(archive_name):
        raise Unobtainable(f"{archive_name} from {RELEASES} is not what its SHA256SUMS says")
    to.write_bytes(zipfile.ZipFile(io.BytesIO(archive)).read(program.name))


def _fetch(url: str, say: Say) -> bytes:
    for left in reversed(range(CONNECT_TRIES)):
        try:
            with urllib.request.urlopen(url, timeout=15) as answer:  # noqa: S310
                deadline = time.monotonic() + DOWNLOAD_S
                read = bytearray()
                while part := answer.read(1 << 20):
                    read += part
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"not done after {DOWNLOAD_S} s")
                return bytes(read)
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            if not left or isinstance(error, urllib.error.HTTPError):
                raise Unobtainable(f"{url}: {reason}") from error
            say(f"{url}: {reason}; once more")
            time.sleep(1)
    raise AssertionError("the last try raises")


def build(program: Program, to: Path, say: Say) -> None:
    """Build a program from its Go modules.

    Raises:
        Unobtainable: there is no Go, or it fails; the message ends with what it said.
    """
    go = next(filter(None, map(shutil.which, GO)), None)
    if go is None:
        raise Unobtainable("it cannot be built: go is not on the PATH")
    say(f"building {program.name} {program.version} from its Go modules: about five minutes on two cores, once")
    source = Path(_module_source(go, program, say))
    with tempfile.TemporaryDirectory(prefix="yurt-build-") as place:
        # The module in Go's cache is read-only, and its go.mod names folders that are not in it.
        mod = Path(place) / "go.mod"
        mod.write_text(published_modules((source / "go.mod").read_text(), program))
        (Path(place) / "go.sum").write_bytes((source / "go.sum").read_bytes())
        command = [go, "build", f"-modfile={mod}", "-mod=mod", "-trimpath", "-ldflags", "-s -w", *program.flags]
        _go([*command, "-o", str(to), "."], program, source, say)


def published_modules(go_mod: str, program: Program) -> str:
    """A `go.mod` that takes the program's own modules from where everybody gets them, not from folders."""
    for name, version in program.modules.items():
        module = f"{program.module}/{name}"
        go_mod = re.sub(rf"({re.escape(module)}) => \./\S+", rf"\1 => \1 {version}", go_mod)
    return go_mod


def _module_source(go: str, program: Program, say: Say) -> str:
    said = _go([go, "mod", "download", "-json", f"{program.module}@v{program.version}"], program, Path("/"), say)
    return str(json.loads(said)["Dir"])


def _go(command: list[str], program: Program, folder: Path, say: Say) -> str:
    """Run Go until it succeeds: module proxies have bad moments, and what was fetched stays fetched."""
    environment = os.environ | program.environment | {"GOFLAGS": ""}
    for left in reversed(range(GO_TRIES)):
        try:
            ran = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unobtainable(f"{' '.join(command[:3])} was not done after {BUILD_S} s") from error
        if ran.returncode == 0:
            return ran.stdout
        said = "\n".join((ran.stderr or ran.stdout).strip().splitlines()[-10:])
        if left:
            say(f"{' '.join(command[1:3])} failed; once more in {GO_PAUSE_S} s:\n{said}")
            time.sleep(GO_PAUSE_S)
    raise Unobtainable(f"{' '.join(command[1:3])} failed {GO_TRIES} times; the last time it said:\n{said}")
