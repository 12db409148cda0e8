"""`scripts/chaos --seed N --minutes M`: bad things happen to a real server under load, and the laws are checked."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.chaos.runner import chaos
from tests.chaos.step import ENGINES, schedule
from tests.chaos.world import STORES
from tests.cluster import missing_programs
from tests.postgres import NOT_INSTALLED, binaries


def main() -> int:
    """Parse, run, print; 1 if a law was broken."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="of everything that is left to chance")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long bad things happen")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="what the server keeps its calls in")
    parser.add_argument(
        "--engine", choices=ENGINES, default="local", help="where its containers are; nomad starts a cluster of its own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--log", type=Path, help="where the server's log is written")
    options = parser.parse_args()
    if options.store == "postgres" and binaries() is None:
        parser.error(NOT_INSTALLED)
    if options.engine == "nomad" and (reason := missing_programs()):
        parser.error(reason)
    for number in (signal.SIGINT, signal.SIGTERM):  # of which a shell may have the first one ignored
        signal.signal(number, signal.default_int_handler)
    steps = schedule(options.seed, options.minutes * 60, options.store, options.engine)
    if not options.json:
        sys.stdout.write("\n".join(map(str, steps)) + "\n\n")
    report = asyncio.run(chaos(options.seed, steps, options.minutes * 60, options.store, options.engine))
    if options.log:
        options.log.write_text(report.server_log)
    if options.json:
        found = [[violation.law, violation.subject, violation.text] for violation in report.violations]
        sys.stdout.write(
            json.dumps(
                {"seed": options.seed, "store": options.store, "engine": options.engine}
                | {**report.facts(), "found": found}
            )
            + "\n"
        )
    else:
        sys.stdout.write(report.text() + "\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
