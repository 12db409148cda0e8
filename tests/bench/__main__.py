"""`scripts/bench [ROW …]`: Yurt beside a bare echo on the same machine. Prints a table, and JSON."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping

from tests.bench.bars import FLEET, table
from tests.bench.bench import Bench
from tests.bench.rows.backlog import backlog, restart
from tests.bench.rows.faults import fair, lost
from tests.bench.rows.fleet import crowd_on_nomad, start_in_docker, start_on_nomad, warm_on_nomad
from tests.bench.rows.items import items
from tests.bench.rows.large import large
from tests.bench.rows.maps import ordered_maps
from tests.bench.rows.reconciling import reconciling
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
ON_NOMAD: Mapping[str, Callable[[Bench], Mapping[str, float]]] = {
    "warm": warm_on_nomad,
    "start": start_on_nomad,
    "docker": start_in_docker,
    "crowd": crowd_on_nomad,
    "reconcile": reconciling,
}


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    every = {**ROWS, **ON_NOMAD}
    usual = f"default: {' '.join(USUAL)}; on nomad all of {' '.join(ON_NOMAD)}"
    parser.add_argument("rows", nargs="*", choices=[*every, "all", []], help=usual)
    parser.add_argument("--engine", choices=("local", "nomad"), default="local", help="default: local")
    parser.add_argument("--store", choices=STORES, default="process", help="where calls are kept; default: process")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each load")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    inputs = "how long the queue of `backlog` is; of `restart` and `fair` a tenth"
    parser.add_argument("--inputs", type=int, default=1_000_000, help=inputs)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    end_in_order()
    known, usual_rows = (ON_NOMAD, tuple(ON_NOMAD)) if options.engine == "nomad" else (ROWS, USUAL)
    rows = list(known) if "all" in options.rows else options.rows or usual_rows
    if unknown := [row for row in rows if row not in known]:
        parser.error(f"{', '.join(unknown)}: not measured on the engine {options.engine}")
    figures: dict[str, float] = {}
    with store(options.store) as empty:
        bench = Bench(empty, options.rounds, options.seconds, options.inputs)
        for row in rows:
            figures |= known[row](bench)
    bars = FLEET if options.engine == "nomad" else STORES[options.store]
    rounded = json.dumps({name: round(value, 3) for name, value in figures.items()})
    sys.stdout.write((rounded if options.json else f"{table(figures, bars)}\n{rounded}") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
