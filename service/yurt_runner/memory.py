"""The memory limit of the worker, as the kernel keeps it."""

from __future__ import annotations

import resource
from typing import Any, Dict

from yurt_runner import faults
from yurt_runner.errors import MAX_TEXT_BYTES, clean

DEFAULT_STACK_BYTES = 8 << 20


def limit_memory(limit_mib: int, *, spare_bytes: int = 0) -> None:
    """Limit the data of this process; those of its children each.

    The kernel refuses what exceeds it, so that Python raises MemoryError. It counts private writable memory (Linux; the
    limit has no effect on others), also what is mapped and never used. What it misses, shared memory and children
    together, the supervisor weighs once a second.

    Args:
        spare_bytes: what `add_memory` may add later.
    """
    limit = limit_mib << 20
    most, hard = limit + spare_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (min(limit, most), most))


def add_memory(size: int) -> None:
    """Raise the limit by what is counted although hardly any of it is used, as the stack of a thread, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        most = soft + size if hard == resource.RLIM_INFINITY else min(soft + size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def stack_bytes() -> int:
    """What a thread's stack counts for."""
    soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return DEFAULT_STACK_BYTES if soft == resource.RLIM_INFINITY else soft


def name_limit(facts: Dict[str, Any], limit_mib: int) -> Dict[str, Any]:
    """The error as it is; and where the kernel may have kept the limit by it, it says that, too.

    Args:
        facts: the error, as it is told.
        limit_mib: the limit, in MiB.
    """
    said = facts["message"]
    if not faults.starved(said) or resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
        return facts
    return {**facts, "message": clean(f"{said.rstrip('.')}. {faults.limit_advice(limit_mib)}", MAX_TEXT_BYTES)}
