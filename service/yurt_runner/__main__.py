"""`python runner.pyz` (or `python -m yurt_runner`): one JSON line says where to dial.

It comes on standard input, or in the variable YURT_START from an engine that has no pipe to its containers.
"""

import os
import sys

from yurt_runner import faults, splitter  # noqa: F401 - both processes need them: imported once, before the fork
from yurt_runner.environment import take_start
from yurt_runner.fork import fork_worker


def main() -> int:
    """Fork, then import what the supervisor needs. Returns the exit status."""
    line = take_start(os.environ)
    worker = fork_worker()
    from yurt_runner.supervisor import supervise

    return supervise(worker, line)


if __name__ == "__main__":
    sys.exit(main())
