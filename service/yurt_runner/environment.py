"""What an engine has put into the environment: for the runner, and not for functions."""

from __future__ import annotations

from typing import MutableMapping, Optional

START = "YURT_START"
"""The start line, where the engine cannot write to standard input. It bears no credential, only the path of one."""

HIDDEN = "YURT_HIDDEN"
"""Names of variables that functions must not see, with spaces between them."""

_SEEN, _USED = "NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"


def take_start(environ: MutableMapping[str, str]) -> Optional[str]:
    """Take what is meant for the runner out of the environment; returns the start line, if it is there.

    Where GPUs were assigned for a container runtime to hand over, CUDA is told too: a plain process would see them all.
    """
    for name in environ.pop(HIDDEN, "").split():
        environ.pop(name, None)
    assigned = environ.get(_SEEN)
    if assigned is not None and assigned != "all":
        environ[_USED] = "" if assigned in {"void", "none"} else assigned
    return environ.pop(START, None)
