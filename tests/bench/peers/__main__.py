"""`scripts/bench --peers [PEER …]`: Yurt beside other systems, on the same no-op in the same rounds."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import uvloop

from tests.bench.load import load
from tests.bench.peers.catalogue import PEERS, Peer
from tests.bench.peers.figures import Figures, compared, medians, table
from tests.bench.peers.services import APART, BUILD, ROOT, SERVICES, finished, interpreter, started
from tests.bench.servers import Server, deploy, end_in_order, yurt_server
from tests.bench.stores import store

PATH = "/v1/functions/bench:f0/invocations"
OURS: Mapping[str, str] = {"process": "crash of the process", "power": "power", "postgres": "power"}
"""What a call in Yurt survives, by store."""


def of_peer(peer: Peer, seconds: float) -> Figures:
    """One round, with all that it needs started for it and ended after it."""
    tools = interpreter(peer.environment)
    log = BUILD / f"{peer.environment}.log"
    with ExitStack() as stack:
        url = stack.enter_context(SERVICES[peer.service]())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="yurt-"))
        told = {"BENCH_SERVICE": url, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": scratch, **peer.variables}
        if peer.prepare:
            words = [url if word == "URL" else word for word in peer.prepare]
            finished([str(tools / words[0]), *words[1:]], told, log)
        for _ in range(peer.workers if peer.worker else 0):
            stack.enter_context(started([str(tools / peer.worker[0]), *peer.worker[1:]], told, log))
        client = [str(tools / "python"), "-m", *peer.client, str(seconds)]
        found: Figures = json.loads(finished([*APART, *client] if peer.service == "alone" else client, told, log))
        return found


def of_yurt(yurt: Server, seconds: float) -> Figures:
    """One round through REST."""
    seen = [
        uvloop.run(load(yurt.port, PATH, connections=c, seconds=s, token=yurt.token, expected=b'"success"'))
        for c, s in ((8, 1.0), (1, seconds), (64, seconds))
    ]
    figures = {f"p{n}_c1_ms": seen[1].percentile(n / 100) for n in (50, 95, 99)}
    return figures | {"rate_c64": seen[2].rate, "errors": float(seen[1].failures + seen[2].failures)}


@contextmanager
def _yurt(name: str) -> Iterator[Server]:
    with store(name) as empty, empty() as flags, yurt_server(*flags) as yurt:
        deploy(yurt, "bench", 1)
        yurt.ask("POST", PATH, {})
        yield yurt


def rounds_of(peer: Peer, rounds: int, seconds: float) -> tuple[list[Figures], dict[str, list[Figures]]]:
    """What the peer measured, and by store what Yurt did right after it."""
    theirs = list[Figures]()
    ours: dict[str, list[Figures]] = {name: [] for name in peer.beside}
    for _ in range(rounds):
        theirs.append(of_peer(peer, seconds))
        for name in peer.beside:
            with _yurt(name) as yurt:
                ours[name].append(of_yurt(yurt, seconds))
    return theirs, ours


def main() -> int:
    """Measure peer after peer, each round beside one of Yurt."""
    parser = argparse.ArgumentParser(prog="scripts/bench --peers", description=__doc__)
    known = sorted({peer.environment for peer in PEERS})
    parser.add_argument("peers", nargs="*", choices=[*known, []], help="default: all of them")
    parser.add_argument("--rounds", type=int, default=3, help="of each peer, each beside one of Yurt")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a phase")
    options = parser.parse_args()
    end_in_order()
    rows: dict[str, Figures] = {}
    all_ours: dict[str, list[Figures]] = {}
    for peer in PEERS:
        if options.peers and peer.environment not in options.peers:
            continue
        try:
            theirs, ours = rounds_of(peer, options.rounds, options.seconds)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            sys.stderr.write(f"{peer.name} is skipped: {error}; see {BUILD / peer.environment}.log\n")
            continue
        rows[peer.name] = compared(theirs, ours)
        for name, seen in ours.items():
            all_ours.setdefault(name, []).extend(seen)
        sys.stderr.write(f"{peer.name} is measured\n")
    durable = {peer.name: peer.durable for peer in PEERS} | {f"Yurt, {name}": text for name, text in OURS.items()}
    rows = {f"Yurt, {name}": medians(seen) for name, seen in all_ours.items()} | rows
    kept = {name: durable[name] for name in rows}
    sys.stdout.write(f"{table(rows, kept)}\n{json.dumps({'figures': rows, 'durable': kept})}\n")
    return 0 if all_ours else 1


if __name__ == "__main__":
    sys.exit(main())
