"""The run directory: what containers need on disk, and what the engine notes of them.

    run_dir/                       0711, the server's
      runner-<hash>.pyz            0644, what containers run
      containers/<container>/      0700, the container's scratch directory, its own
      records/<installation>/      0700, the engine's notes: <container>.out, what the runner itself printed, made
                                   first, so that it stands for "this container is ours"; <container>.ref, its identity;
                                   <container>.gpu and .env, the GPUs and the environment that it has
      trash/                       0700, scratch directories on their way out
      <installation>.sock          0666, where the server waits for sessions: who may speak there, a token says

Another installation's containers and notes are never touched.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from yurt.outbound.engines.local.trees import remove_tree

GPUS, ENVIRONMENT = ".gpu", ".env"
"""What a container can be noted to have been given."""

LAST_OUTPUT_BYTES = 4096


SOCKET_PATH_BYTES = 107
"""What the kernel takes (unix(7), `sun_path`)."""


def session_socket(run_dir: Path, installation: str) -> Path | None:
    """The path of the socket at which a server waits for its containers; None if it would be longer than may be."""
    path = run_dir / f"{installation}.sock"
    return path if len(os.fsencode(path)) <= SOCKET_PATH_BYTES else None


class RunDirRefused(Exception):
    """The run directory cannot be used. The message says why, and what to do."""


class Places:
    """The paths of one installation's containers. Every method blocks for a moment.

    Args:
        run_dir: the directory, which need not exist yet.
        installation: whose containers.
        runner_sha256: the hash (hex) that names the runner file.
    """

    def __init__(self, run_dir: Path, installation: str, runner_sha256: str) -> None:
        self.run_dir = run_dir
        self.runner = run_dir / f"runner-{runner_sha256[:16]}.pyz"
        self._containers = run_dir / "containers"
        self._records = run_dir / "records" / installation
        self._trash = run_dir / "trash" / installation

    def prepare(self, runner: bytes) -> None:
        """Make the directories and the runner file, or check those that are there.

        Raises:
            RunDirRefused: another user's, a link, or open to writers; or it cannot be made.
        """
        try:
            self.run_dir.parent.mkdir(parents=True, exist_ok=True)
            for directory, mode in ((self.run_dir, 0o711), (self._containers, 0o711)):
                own_directory(directory, mode)
            for directory in (self._records, self._trash):
                own_directory(directory.parent, 0o700)
                own_directory(directory, 0o700)
            self._write(self.runner, runner, 0o644)
        except OSError as error:
            raise RunDirRefused(
                f"The run directory {self.run_dir} cannot be prepared: {error.strerror} ({error.filename})."
                " Give another one with --run-dir."
            ) from error

    def _write(self, path: Path, data: bytes, mode: int) -> None:
        """Replace a file whole: it is there with its old content or the new one at any moment."""
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
        fresh.replace(path)

    def scratch(self, container_id: str) -> Path:
        """The path of a container's own directory."""
        return self._containers / container_id

    def make(self, container_id: str, owner: tuple[int, int] | None) -> int:
        """Make a container's directories; returns a descriptor for the runner's own output. The caller closes it.

        Args:
            container_id: the container.
            owner: user and group that the scratch directory is for, or None for the server's own.

        Raises:
            OSError: no room, no directory, or the container exists.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        output = os.open(self._records / f"{container_id}.out", flags, 0o600)
        try:
            scratch = self.scratch(container_id)
            temporary = scratch / "tmp"
            scratch.mkdir(0o700)
            temporary.mkdir(0o700)
            if owner:
                os.chown(temporary, *owner)
                os.chown(scratch, *owner)
        except OSError:
            os.close(output)
            raise
        return output

    def remember(self, container_id: str, pid: int, started: int) -> None:
        """Note which process a container is."""
        self._write(self._records / f"{container_id}.ref", f"{pid}:{started}".encode(), 0o600)

    def note(self, container_id: str, what: str, names: Iterable[str]) -> None:
        """Note what a container is given, before it starts; nothing where there are no names."""
        if text := "\n".join(names):
            self._write(self._records / f"{container_id}{what}", text.encode(), 0o600)

    def noted(self, container_id: str, what: str) -> Sequence[str]:
        """What a container was given."""
        try:
            return (self._records / f"{container_id}{what}").read_text().splitlines()
        except FileNotFoundError:
            return ()

    def known(self) -> dict[str, tuple[int, int] | None]:
        """The containers of this installation, each with pid and start time, or None where a start was cut short."""
        found: dict[str, tuple[int, int] | None] = {}
        for output in self._records.glob("*.out"):
            try:
                pid, _, started = output.with_suffix(".ref").read_text().partition(":")
            except FileNotFoundError:
                found[output.stem] = None
                continue
            found[output.stem] = (int(pid), int(started))
        return found

    def last_output(self, container_id: str) -> str:
        """The end of what the runner itself printed: its own failures, not what functions print."""
        try:
            with (self._records / f"{container_id}.out").open("rb") as file:
                file.seek(-min(LAST_OUTPUT_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_CUR)
                return file.read().decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def discard(self, container_id: str) -> None:
        """Take a container's directories away at once; `empty_trash` removes the content later."""
        with contextlib.suppress(FileNotFoundError):  # a start can be cut short before it is made
            self.scratch(container_id).rename(self._trash / container_id)
        for suffix in (".ref", GPUS, ENVIRONMENT, ".out"):
            (self._records / f"{container_id}{suffix}").unlink(missing_ok=True)

    def empty_trash(self) -> list[str]:
        """Remove what was discarded; returns the paths that would not go."""
        failed: list[str] = []
        for discarded in self._trash.glob("*"):  # nothing, where the run directory itself is gone
            failed += remove_tree(discarded)
        return failed

    def check(self) -> str | None:
        """None while containers can be made here, else the reason."""
        for directory in (self._containers, self._records):
            if not os.access(directory, os.W_OK | os.X_OK):
                return f"The run directory {self.run_dir} is gone or cannot be written. Restart the server to make it."
        return None if self.runner.is_file() else f"The runner file {self.runner} is gone. Restart the server."


def own_directory(path: Path, mode: int, *, flag: str = "--run-dir") -> None:
    """Make a directory, or accept one that nobody else can have prepared.

    Raises:
        RunDirRefused: somebody else could.
    """
    try:
        path.mkdir(mode)
    except FileExistsError:
        _check_owner(path, flag)
    path.chmod(mode)


def _check_owner(path: Path, flag: str) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        problem = "is a link or no directory"
    elif found.st_uid != os.geteuid():
        problem = f"belongs to another user (uid {found.st_uid})"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    else:
        return
    raise RunDirRefused(
        f"The directory {path} {problem}, so what containers run could be replaced."
        f" Remove it if nothing uses it, or give another one with {flag}."
    )
