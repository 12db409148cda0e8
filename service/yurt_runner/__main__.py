"""`python runner.pyz` (or `python -m yurt_runner`): one JSON line on standard input says where to dial."""

import sys

from yurt_runner import faults, splitter  # noqa: F401 - both processes need them: imported once, before the fork
from yurt_runner.fork import fork_worker


def main() -> int:
    """Fork, then import what the supervisor needs. Returns the exit status."""
    worker = fork_worker()
    from yurt_runner.supervisor import supervise

    return supervise(worker)


if __name__ == "__main__":
    sys.exit(main())
