"""How a runner becomes a process: as whom, with which environment, and what it is told."""

import errno
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yurt.outbound.engines.local.processes import CONTAINER, INSTALLATION
from yurt.ports import ContainerSpec, EngineRefused

PROBE_MAY_TAKE_S = 20
"""An interpreter from a cold disk takes a second or two."""

PROBE = "import sys; open(sys.argv[1], 'rb').close(); sys.exit(0 if sys.version_info >= (3, 9) else 9)"
"""Can this user run the interpreter and read the runner, and is the interpreter new enough?"""

IDENTITY = "import sys, sysconfig; print(sys.version, sys.base_prefix, sysconfig.get_platform(), sep='|')"

TOO_OLD = 9

NO_ROOM = {errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}


class InterpreterUnusable(Exception):
    """No user that containers may run as can run the interpreter. The message says what was tried."""


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Home:
    """Where a container is at home.

    Args:
        installation: whose it is.
        scratch: its own directory, which exists.
        socket: where its server waits for sessions; None for its port.
    """

    installation: str
    scratch: Path
    socket: Path | None


@dataclass(frozen=True, slots=True)
class Launcher:
    """One way to run the interpreter.

    Args:
        python: the interpreter's path.
        runner: the runner's path.
        account: whom to become first, or None to stay.
        setpriv: the path of setpriv(1), which becomes that user after the process was made. Without it the server's
            memory map must be copied for each start (measured: 10 ms at 120 MiB, against 1 ms).
    """

    python: Path
    runner: Path
    account: Account | None = None
    setpriv: str | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """User and group of what is made for containers, or None for the server's own."""
        return (self.account.uid, self.account.gid) if self.account else None

    def probe(self) -> str | None:
        """Try it. None if it works, else what went wrong."""
        try:
            done = self._run("-c", PROBE, os.fspath(self.runner))
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == TOO_OLD:
            return "it is older than Python 3.9"
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return None if done.returncode == 0 else last or f"it ended with {done.returncode}"

    def version(self) -> tuple[int, int] | None:
        """Major and minor number of the interpreter, or None where it does not say. Blocks: for threads."""
        if os.fspath(self.python) == sys.executable:
            return sys.version_info[:2]
        try:
            major, minor = self._run("-c", "import sys; print(*sys.version_info[:2])").stdout.split()
            return int(major), int(minor)
        except (OSError, subprocess.TimeoutExpired, ValueError):
            return None

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return self.run(os.fspath(self.python), *arguments)

    def run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a program that ends soon, and keep what it prints. Blocks: for threads.

        Raises:
            OSError, subprocess.TimeoutExpired: it cannot be run, or does not end.
        """
        return subprocess.run(  # noqa: S603 - a program of the operator's
            [*self._prefix(), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self._common(),
            cwd="/",
            timeout=PROBE_MAY_TAKE_S,
            check=False,
            user=self._user,
            group=self._group,
            extra_groups=[] if self._group is not None else None,
        )

    def open(self, command: Sequence[str], place: Path, variables: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Begin a program in `place` that prints into a pipe, in a session of its own. What it makes, all can read.

        Raises:
            OSError: the process could not be made.
        """
        return subprocess.Popen(  # noqa: S603 - a program of the operator's
            [*self._prefix(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self._common(), **variables},
            cwd=place,
            umask=0o022,
            start_new_session=True,
            user=self._user,
            group=self._group,
            extra_groups=[] if self._group is not None else None,
        )

    def identity(self) -> str:
        """What tells this interpreter from others, its build included. Blocks: for threads.

        Raises:
            OSError, subprocess.TimeoutExpired: it cannot be run.
        """
        return self._run("-c", IDENTITY).stdout.decode(errors="replace").strip()

    def start(self, spec: ContainerSpec, home: Home, output: int, more: Mapping[str, str]) -> int:
        """Start a container's runner; returns its pid.

        Args:
            spec: the container.
            home: where it is at home.
            output: a descriptor for what the runner itself prints.
            more: further variables of its environment.

        Raises:
            OSError: the process could not be made.
        """
        reader, writer = os.pipe()
        try:
            # A pipe takes 64 KiB at once; this is far less, and the end of file follows it.
            os.write(writer, _greeting(spec, home))
            os.close(writer)
            writer = -1
            process = subprocess.Popen(  # noqa: S603 - the operator's interpreter and our runner
                [*self._prefix(), os.fspath(self.python), os.fspath(self.runner)],
                stdin=reader,
                stdout=output,
                stderr=output,
                env={**self._environment(spec, home), **more},
                cwd=home.scratch,
                umask=0o077,
                start_new_session=True,
                user=self._user,
                group=self._group,
                extra_groups=[] if self._group is not None else None,
            )
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        # The engine waits by a process handle; Popen, told so, does not warn of a process that it never waited for.
        process.returncode = 0
        pid: int = process.pid
        return pid

    def _prefix(self) -> list[str]:
        if not (self.account and self.setpriv):
            return []
        who = [f"--reuid={self.account.uid}", f"--regid={self.account.gid}"]
        # setpriv still holds root's capabilities when it executes; env(1) has none, so that the interpreter is looked
        # up with the rights that it will have. Otherwise it starts where it cannot read its own library.
        return [self.setpriv, *who, "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--", "/usr/bin/env"]

    @property
    def _user(self) -> int | None:
        return self.account.uid if self.account and not self.setpriv else None

    @property
    def _group(self) -> int | None:
        return self.account.gid if self.account and not self.setpriv else None

    def _common(self) -> dict[str, str]:
        path = f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}

    def _environment(self, spec: ContainerSpec, home: Home) -> dict[str, str]:
        return {
            **self._common(),
            "HOME": os.fspath(home.scratch),
            "TMPDIR": os.fspath(home.scratch / "tmp"),
            INSTALLATION: home.installation,
            CONTAINER: spec.container_id,
        }


def _greeting(spec: ContainerSpec, home: Home) -> bytes:
    """The one line that a runner reads first. It bears the credential, so it goes through a pipe and nowhere else."""
    facts = {
        "url": spec.url,
        "container_id": spec.container_id,
        "start_token": spec.start_token,
        "grace_s": spec.grace_s,
        "scratch": os.fspath(home.scratch),
    }
    if home.socket is not None:
        facts["socket"] = os.fspath(home.socket)
    return json.dumps(facts).encode() + b"\n"


def choose(python: Path, runner: Path, user: str | None) -> tuple[Launcher, str]:
    """The least privileged way that works, and a sentence about as whom containers run. Blocks: for threads.

    Raises:
        InterpreterUnusable: none works, or there is no such user.
    """
    wanted = _account(user) if user and os.geteuid() == 0 else None
    failures: dict[str, str] = {}
    for launcher in _ways(python, runner, wanted):
        name = launcher.account.name if launcher.account else "the server's own user"
        failure = launcher.probe()
        if failure is None:
            return launcher, _sentence(name, wanted, failures)
        failures[name] = failure
    raise InterpreterUnusable(
        f"The interpreter {python} cannot run functions: "
        + "; ".join(f"as {name}: {failure}" for name, failure in failures.items())
        + ". Give another one, 3.9 or newer, with --python."
    )


def _ways(python: Path, runner: Path, wanted: Account | None) -> Iterator[Launcher]:
    if wanted:
        setpriv = shutil.which("setpriv")
        if setpriv:
            yield Launcher(python, runner, wanted, setpriv)
        yield Launcher(python, runner, wanted)
    yield Launcher(python, runner)


def _sentence(name: str, wanted: Account | None, failures: dict[str, str]) -> str:
    if wanted and name != wanted.name:
        return (
            f"Containers run as {name}, not as {wanted.name}, which cannot run the interpreter or reach the run"
            f" directory ({failures[wanted.name]}). Give an interpreter that every user can run with --python,"
            " such as /usr/bin/python3."
        )
    return f"Containers run as {name}; all of them share that user."


def _account(name: str) -> Account:
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise InterpreterUnusable(
            f"There is no user {name} for containers to run as. Name another one with --container-user."
        ) from error
    return Account(name, entry.pw_uid, entry.pw_gid)


def refusal(error: OSError, what: str) -> EngineRefused:
    """What the system's refusal means for whoever waits for the container."""
    code = "no_capacity" if error.errno in NO_ROOM else "engine_unreachable"
    place = f" ({error.filename})" if error.filename else ""
    return EngineRefused(code, f"This machine could not {what}: {error.strerror}{place}.")
