"""`scripts/bench [ROW …]`: Yurt beside a bare echo on the same machine. Prints a table, and JSON."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping

from tests.bench.bars import table
from tests.bench.bench import Bench
from tests.bench.rows.backlog import backlog, restart
from tests.bench.rows.faults import fair, lost
from tests.bench.rows.items import items
from tests.bench.rows.large import large
from tests.bench.rows.maps import ordered_maps
from tests.bench.rows.schedules import schedules
from tests.bench.rows.sharing import sharing
from tests.bench.rows.small import cold, memory
from tests.bench.rows.warm import spawn, warm
from tests.bench.rows.web import web
from tests.bench.servers import end_in_order
from tests.bench.stores import STORES, store

ROWS: Mapping[str, Callable[[Bench], Mapping[str, float]]] = {
    "memory": memory,
    "warm": warm,
    "spawn": spawn,
    "cold": cold,
    "large": large,
    "maps": ordered_maps,
    "lost": lost,
    "fair": fair,
    "schedules": schedules,
    "sharing": sharing,
    "items": items,
    "web": web,
    "restart": restart,
    "backlog": backlog,
}
USUAL = ("memory", "warm", "cold")


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, "all", []], help=f"default: {' '.join(USUAL)}")
    parser.add_argument("--store", choices=STORES, default="process", help="where calls are kept; default: process")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each load")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    inputs = "how long the queue of `backlog` is; of `restart` and `fair` a tenth"
    parser.add_argument("--inputs", type=int, default=1_000_000, help=inputs)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    end_in_order()
    rows = list(ROWS) if "all" in options.rows else options.rows or USUAL
    figures: dict[str, float] = {}
    with store(options.store) as empty:
        bench = Bench(empty, options.rounds, options.seconds, options.inputs)
        for row in rows:
            figures |= ROWS[row](bench)
    rounded = json.dumps({name: round(value, 3) for name, value in figures.items()})
    sys.stdout.write((rounded if options.json else f"{table(figures, STORES[options.store])}\n{rounded}") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
