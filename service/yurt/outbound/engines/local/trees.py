"""What happens to whole directory trees that somebody else has made."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path


def close_tree(root: Path, owner: tuple[int, int] | None) -> None:
    """Let everybody read a tree, and nobody write to it. Blocks: for threads.

    Whoever made it may still run, so nothing is reached by a path that could be turned into a link meanwhile: each
    directory is taken from its maker before its members are.

    Args:
        root: the tree's top.
        owner: user and group to give it to, or None where it is the server's own.

    Raises:
        OSError: a member cannot be reached.
    """
    for _, directories, files, folder in os.fwalk(root, follow_symlinks=False):
        _close(folder, 0o555, owner)
        for name in (*directories, *files):
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                if owner:
                    os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
            elif stat.S_ISREG(mode):
                _close_file(name, folder, owner)
            elif not stat.S_ISDIR(mode):
                os.unlink(name, dir_fd=folder)  # a pipe or a socket is no part of a package


def _close_file(name: str, folder: int, owner: tuple[int, int] | None) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        _close(descriptor, 0o555 if os.fstat(descriptor).st_mode & 0o100 else 0o444, owner)
    finally:
        os.close(descriptor)


def _close(descriptor: int, mode: int, owner: tuple[int, int] | None) -> None:
    if owner:
        os.fchown(descriptor, *owner)
    os.fchmod(descriptor, mode)


def remove_tree(root: Path) -> list[str]:
    """Remove a tree; returns the paths that would not go. Blocks: for threads."""
    failed: list[str] = []
    open_up(root)
    shutil.rmtree(root, onerror=lambda _do, path, _why: failed.append(str(path)))
    return failed


def open_up(root: Path) -> None:
    """Let the owner remove directories that are read-only. Root needs no such thing."""
    if os.geteuid() == 0:
        return
    ignore: Callable[[OSError], None] = lambda _error: None  # noqa: E731 - what stays closed fails in the removal
    root.chmod(0o700)
    for path, directories, _ in os.walk(root, onerror=ignore):
        for name in directories:
            directory = Path(path, name)
            if not directory.is_symlink():
                directory.chmod(0o700)
