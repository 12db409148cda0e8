"""The supervisor: the session with the control plane on one side, the worker on the other.

It runs no user code, so that nothing user code does (holding the GIL, a segfault, eating all memory) costs the session,
and so that there is somebody left to say how the worker ended.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import Any, Dict, List, Optional

from yurt_runner import faults, tree
from yurt_runner import wire as w
from yurt_runner.courier import Courier
from yurt_runner.faults import Cause
from yurt_runner.fetch import fork_fetch
from yurt_runner.fork import Worker
from yurt_runner.ledger import Key, Ledger
from yurt_runner.logs import NO_INPUT, LogBook
from yurt_runner.loop import Loop
from yurt_runner.page import CANCEL
from yurt_runner.parting import part
from yurt_runner.pipe import Pipe
from yurt_runner.session import Session
from yurt_runner.start import Definition, Start, read_definition, read_start
from yurt_runner.watch import Asked, Watch

VERSION = "0.1.0"
LOG_TICK_S = 0.1
MEMORY_TICK_S = 1.0
ACK_WAIT_S = 60.0
"""How long an ended worker's last outputs wait for their acknowledgement while there is a connection."""
CLOSE_WAIT_S = 2.0
STOP_WAIT_S = 5.0
"""What an idle worker gets to end after SIGTERM, unless the drain's own grace is over sooner."""
EXIT_WAIT_S = 30.0
"""The same where the worker has exit hooks to call; never less than `STOP_WAIT_S`."""
DRAIN_GRACE_S = 30.0
"""For a SIGTERM, which brings no grace of its own."""
BROKEN_WAIT_S = 1.0
"""Between the end of the worker's socket and the end of its process, which should be one."""
MESSAGE_BYTES = 1 << 20
"""What waits is put together up to this size: two large outputs together would be above the limit of a message."""
MAX_UNSENT_BYTES = 4 << 20
"""While so much waits for the server to read, lines of log are kept back, and dropped above their own bound."""

STARTING, SERVING, LEAVING = range(3)
DRAINED = Cause("drained")
EXIT_OK, EXIT_ENDED, EXIT_REFUSED = 0, 1, 2


def supervise(worker: Worker, line: Optional[str]) -> int:
    """Run until the worker has ended and the server knows.

    Args:
        line: the start line; None if it is on standard input.

    Returns:
        The exit status.
    """
    try:
        start = read_start(sys.stdin.read() if line is None else line)
        supervisor = Supervisor(start, worker)
    except ValueError as error:
        faults.complain(str(error))
        os.close(worker.life)
        return EXIT_REFUSED
    return supervisor.run()


class Supervisor:
    """See the module. Implements `session.Handler`."""

    def __init__(self, start: Start, worker: Worker) -> None:
        self._start, self._worker = start, worker
        self._loop = loop = Loop()
        self._ledger = Ledger()
        self._courier = Courier()
        self._session = Session(loop, start, self)
        self._logs = LogBook(worker.stdout, worker.stderr, worker.page, worker.secret)
        self._pipe = Pipe(loop, worker, self._from_worker, self._worker_broken)
        self._watch = Watch(worker.pid, worker.page, self._ledger, started=self._started, force=self._force)
        self._instance = os.urandom(16).hex()
        self._definition: Optional[Definition] = None
        self._phase = STARTING
        self._startup: Optional[bytes] = None  # READY or FAILED, for a server that has not heard it
        self._bye: Optional[bytes] = None
        self._outbox: List[bytes] = []
        self._cause: Optional[Cause] = None  # why the worker was made to end
        self._draining = False
        self._drain_by = 0.0
        self._alive = True  # the worker's process has not been waited for
        self._heard = loop.now()
        self._exit: Optional[int] = None
        self._handlers = {
            w.WELCOME: self._on_welcome,
            w.INPUT: self._on_input,
            w.RECALL: self._on_recall,
            w.ACK: self._on_ack,
            w.CREDIT: self._on_credit,
            w.CANCEL: self._on_cancel,
            w.DRAIN: self._on_drain,
        }

    def run(self) -> int:
        """Until it is over; returns the exit status."""
        self._loop.on_signals((signal.SIGTERM, signal.SIGINT), self._signalled)
        self._loop.when_ended(self._worker.pid, self._worker_ended)
        for fd in self._logs.streams:
            self._loop.watch(fd, partial(self._read_log, fd))
        self._session.start()
        while self._exit is None:
            self._loop.turn()
            self._send_outbox()
        os.close(self._worker.life)
        return self._exit

    # The session: what the server says.

    def connected(self) -> None:
        """Say hello, with everything held."""
        now = self._loop.now()
        running = {(mark.seq, mark.token): round(now - mark.since, 3) for mark in self._watch.running()}
        hello = w.meta(
            protocol=w.PROTOCOL,
            runner=VERSION,
            python=sys.version.split()[0],
            executable=sys.executable,
            instance=self._instance,
            pid=os.getpid(),
            holds=self._ledger.report(running),
        )
        self._session.send(w.pack(w.HELLO, meta=hello))

    def message(self, message: bytes) -> None:
        """Frames from the server; types that are unknown here are skipped."""
        for frame in w.unpack(message):
            handle = self._handlers.get(frame.kind)
            if handle:
                handle(frame)
        if self._ledger.waiting:
            self._feed()

    def disconnected(self) -> None:
        """What was about to be sent is lost; what matters is sent again after the next WELCOME."""
        self._outbox.clear()
        self._ledger.close_batch()
        self._loop.drop("beat")

    def closed(self) -> None:
        """The server closed. After BYE that means that it has read everything."""
        if self._bye:
            self._finish()

    def ended(self, reason: str) -> None:
        """No session any more: the worker's work has nobody to go to."""
        faults.complain(f"{reason}; stopping")
        self._end_all()
        self._exit = EXIT_REFUSED

    def _on_welcome(self, frame: w.Frame) -> None:
        welcome = frame.header()
        token = welcome.pop("reconnect_token", None)
        if not isinstance(token, str):
            raise w.ProtocolError("WELCOME lacks its reconnect_token")
        self._session.welcome(token)
        if self._definition is None:
            try:
                self._definition = read_definition(welcome)
            except ValueError as error:
                raise w.ProtocolError(str(error)) from error
            self._begin(self._definition, welcome, frame.payload)
        self._loop.after("beat", self._definition.beat_s, self._beat)
        if self._startup:
            self._say(self._startup)
        self._say_all(self._courier.all())
        self._say_all(self._courier.due())
        for done in self._ledger.done.values():
            self._say(done.frame)
        if self._bye:
            self._say(self._bye)
            self._close_if_done()

    def _begin(self, definition: Definition, welcome: Dict[str, Any], archive: bytes) -> None:
        """The first WELCOME: give the worker what it needs to load the function. The token is not among it."""
        self._watch.timeout_s, self._watch.cancel_grace_s = definition.timeout_s, definition.cancel_grace_s
        self._worker.page.rows = self._ledger.rows = definition.rows
        self._loop.after("startup", definition.startup_timeout_s, self._startup_over)
        self._loop.after("memory", MEMORY_TICK_S, self._weigh)
        welcome.update(scratch=self._start.scratch, container_id=self._start.container_id)
        if welcome.get("web"):
            welcome["web"].update(host=self._start.web_host, listen=self._start.web_port)
        if definition.source_sha256 is None or archive:
            self._pipe.send(w.pack(w.WELCOME, payload=archive, meta=w.meta(**welcome)))
            return
        path = os.path.join(self._start.scratch, "source.zip")
        welcome.update(archive=path)
        message = w.pack(w.WELCOME, meta=w.meta(**welcome))
        pid = fork_fetch(
            self._start.url, self._start.container_id, self._session.credential, definition.source_sha256, path
        )
        self._loop.when_ended(pid, partial(self._fetched, message))

    def _fetched(self, message: bytes, status: int) -> None:
        if status == 0:
            self._pipe.send(message)
        else:
            self._end_worker(Cause("source_unavailable"))

    def _on_input(self, frame: w.Frame) -> None:
        if self._draining or self._phase == LEAVING:
            self._say(w.pack(w.RETURN, frame.seq, frame.token))
        else:
            self._ledger.add(frame)

    def _on_recall(self, _: w.Frame) -> None:
        for seq, token in self._ledger.take_back(self._pipe.unused()):
            self._say(w.pack(w.RETURN, seq, token))

    def _on_ack(self, frame: w.Frame) -> None:
        if len(frame.payload) % w.PAIR.size:
            raise w.ProtocolError("ACK does not hold whole pairs")
        ended = list(w.PAIR.iter_unpack(frame.payload))
        self._ledger.acknowledge(ended)
        self._courier.forget(ended)
        if self._bye:
            self._close_if_done()

    def _on_credit(self, frame: w.Frame) -> None:
        if len(frame.payload) != w.CREDITED.size:
            raise w.ProtocolError("CREDIT does not hold its three numbers")
        frames, grant = self._courier.stored((frame.seq, frame.token), *w.CREDITED.unpack(frame.payload))
        self._say_all(frames)
        if grant:
            self._pipe.grant(grant)

    def _on_cancel(self, frame: w.Frame) -> None:
        key, grace_s = (frame.seq, frame.token), frame.header().get("grace_s", 5.0)
        if not isinstance(grace_s, (int, float)):
            raise w.ProtocolError("CANCEL has a grace_s that is no number")
        if self._ledger.cancel_waiting(key):
            self._conclude(key, "cancelled", faults.cancelled())
        elif key in self._ledger.handed:
            lead, unused = self._ledger.handed[key].lead, self._pipe.unused()
            again = [self._ledger.handed[other] for other in unused if other != lead]
            if lead in unused:
                again += self._ledger.part_handed(key)
                self._conclude(key, "cancelled", faults.cancelled())
            self._pipe.hand(again)
            if lead not in unused:
                self._watch.cancel(key, now=self._loop.now(), grace_s=grace_s)
                self._look()
            self._feed()

    def _on_drain(self, frame: w.Frame) -> None:
        grace_s = frame.header().get("grace_s", DRAIN_GRACE_S)
        if not isinstance(grace_s, (int, float)):
            raise w.ProtocolError("DRAIN has a grace_s that is no number")
        self._drain(grace_s)

    # The session: what is said.

    def _say(self, frame: bytes) -> None:
        """Send with everything else of this turn; without a session it is lost."""
        if self._session.welcomed:
            self._outbox.append(frame)

    def _say_all(self, frames: List[bytes]) -> None:
        for frame in frames:
            self._say(frame)

    def _send_outbox(self) -> None:
        if len(self._outbox) == 1:
            self._session.send(self._outbox.pop())
        elif self._outbox:
            frames, self._outbox = self._outbox, []
            for message in w.messages(frames, MESSAGE_BYTES):
                self._session.send(message)

    def _conclude(self, key: Key, outcome: str, error: Dict[str, Any], run_s: float = 0.0) -> None:
        """End an input in the worker's stead."""
        self._say_all(self._courier.rest(key))
        frame = w.pack(
            w.OUTPUT, *key, faults.as_json(error), flags=w.OUTCOMES.index(outcome), meta=w.meta(run_s=round(run_s, 6))
        )
        if self._ledger.finish(key, frame):
            self._say(frame)

    def _started(self, key: Key, seconds: float) -> None:
        self._say(w.pack(w.STARTED, *key, meta=w.meta(for_s=round(seconds, 3))))

    def _beat(self) -> None:
        if not self._definition:
            return
        now, marks = self._loop.now(), self._watch.running()
        pids = tree.descendants(self._worker.pid)
        busy = [[mark.seq, round(now - mark.since, 3)] for mark in marks]
        silent_s = 0.0
        if marks or self._phase == STARTING:
            silent_s = now - max(self._heard, *(mark.since for mark in marks), 0.0)
        facts = w.meta(
            busy=busy,
            rss_mib=round(tree.resident_bytes(pids, enough=self._definition.memory_mib << 20) / (1 << 20), 1),
            cpu_s=round(sum(tree.cpu_seconds(pid) for pid in pids), 3),
            silent_s=round(silent_s, 3),
        )
        self._say(w.pack(w.BEAT, meta=facts))
        if os.getpid() == 1:
            tree.reap_orphans(spare=self._worker.pid)
        self._loop.after("beat", self._definition.beat_s, self._beat)

    # The worker.

    def _feed(self) -> None:
        if self._phase == SERVING and self._ledger.waiting:
            self._pipe.hand(self._ledger.hand_over())
        if self._ledger.handed and not (self._ledger.rows == 1 and self._loop.has("look")):
            self._loop.by("look", self._loop.now() + 0.01, self._look)

    def _look(self) -> None:
        again_at = self._watch.look(self._loop.now())
        if again_at is None:
            self._loop.drop("look")
        else:
            self._loop.at("look", again_at, self._look)

    def _from_worker(self, frames: List[bytes]) -> None:
        self._heard = now = self._loop.now()
        self._logs.drain(now)
        self._ship_logs()
        began = False  # an input may have begun, behind one that has ended
        for frame in frames:
            _, _, kind, _, _, seq, token = w.HEAD.unpack_from(frame)
            key = (seq, token)
            if kind == w.OUTPUT:
                began = True
                self._say_all(self._courier.rest(key))
                if self._ledger.finish(key, frame):
                    self._say(frame)
            elif kind == w.ITEM and key in self._ledger.handed:
                self._courier.take(key, w.unpack(frame)[0].payload)
            elif kind in {w.READY, w.FAILED} and self._phase == STARTING:
                self._started_up(kind, frame)
        self._say_all(self._courier.due())
        if self._phase == SERVING and self._alive:
            self._feed()
            if began and self._ledger.rows == 1 and self._loop.has("look"):
                self._loop.at("look", now + 0.01, self._look)
            self._stop_if_drained()

    def _started_up(self, kind: int, frame: bytes) -> None:
        self._loop.drop("startup")
        self._startup = frame
        self._say(frame)
        if kind == w.READY:
            self._phase = SERVING
        else:
            self._end_worker(Cause("startup_failed"))

    def _startup_over(self) -> None:
        if self._definition:
            error = faults.timed_out(self._definition.startup_timeout_s, phase="startup")
            self._end_worker(Cause("startup_failed", "timeout", error))

    def _worker_broken(self) -> None:
        """Its socket has ended; usually it has too, and says so within a moment."""
        self._loop.after("broken", BROKEN_WAIT_S, self._end_broken)

    def _end_broken(self) -> None:
        message = "The function closed or wrote to descriptors that belong to the runner."
        error = faults.fault("Crashed", message, last_output=self._logs.last_output())
        self._end_worker(Cause("worker_exited", "crashed", error))

    def _force(self, asked: Asked) -> None:
        if asked.reason == CANCEL:
            cause = Cause("cancel_forced", "cancelled", faults.cancelled(forced_after_s=asked.grace_s), asked.key)
        else:
            error = faults.timed_out(self._watch.timeout_s, phase="run", forced_after_s=asked.grace_s)
            cause = Cause("timeout_forced", "timeout", error, asked.key)
        self._end_worker(cause)

    def _weigh(self) -> None:
        """Keep the memory limit for the worker and its children together."""
        if not self._definition:
            return
        limit = self._definition.memory_mib << 20
        if tree.resident_bytes(tree.descendants(self._worker.pid), enough=limit) > limit:
            error = faults.out_of_memory(self._definition.memory_mib)
            self._end_worker(Cause("out_of_memory", "out_of_memory", error))
        self._loop.after("memory", MEMORY_TICK_S, self._weigh)

    def _end_worker(self, cause: Cause) -> None:
        """By force. The first cause counts."""
        self._cause = self._cause or cause
        if self._alive:
            tree.kill_group(self._worker.pid)

    def _worker_ended(self, status: int) -> None:
        self._alive = False
        how = faults.ending(os.waitstatus_to_exitcode(status))
        for timer in ("startup", "memory", "look", "drain", "stop", "broken"):
            self._loop.drop(timer)
        tree.kill_group(self._worker.pid)
        self._pipe.drain()
        now = self._loop.now()
        self._logs.drain(now)
        self._logs.finish(now)
        self._ship_logs()
        self._leave(how, self._cause or self._own_end(how))
        self._loop.after("sweep", 0.0, self._sweep)  # after the report has left: it looks at every process there is

    def _sweep(self) -> None:
        self._loop.drop("sweep")
        tree.kill_all(self._worker.pid, self._start.container_id)

    def _own_end(self, how: faults.Ending) -> Cause:
        """The worker ended and nobody made it."""
        if how.killed:
            return Cause("worker_killed")
        if self._worker.page.out_of_memory() and self._definition:
            return Cause("out_of_memory", "out_of_memory", faults.out_of_memory(self._definition.memory_mib))
        doing = "while it was starting" if self._phase == STARTING else "while it ran the function"
        kept_mib = self._definition.memory_mib if self._definition and not self._definition.gpu else None
        return Cause("worker_exited", "crashed", faults.crashed(how, doing, self._logs.last_output(), kept_mib))

    def _leave(self, how: faults.Ending, cause: Cause) -> None:
        """Report what became of everything that is held, and say BYE."""
        unused, began = self._pipe.unused(), {(mark.seq, mark.token): mark.since for mark in self._watch.running()}
        if self._phase == STARTING and cause.outcome and cause.error:
            head = w.meta(phase="startup", outcome=cause.outcome)
            self._startup = w.pack(w.FAILED, payload=faults.as_json(cause.error), meta=head)
            self._say(self._startup)
        self._phase = LEAVING
        self._say_all(self._courier.rest_of_all())
        handed = self._ledger.handed
        leads = [held for held in handed.values() if held.lead == held.key]
        what = part(leads, unused=unused, running=began.keys(), outcome=cause.outcome, forced=cause.forced)
        for key in what.end:
            if cause.outcome and cause.error:
                since = began.get(handed[key].lead)
                self._conclude(key, cause.outcome, cause.error, self._loop.now() - since if since else 0.0)
        for seq, token in self._ledger.take_back(what.back):
            self._say(w.pack(w.RETURN, seq, token))
        self._ledger.handed.clear()  # what ran and has no outcome is lost, and held no more
        facts = {} if cause is DRAINED else how.facts()
        self._bye = w.pack(w.BYE, meta=w.meta(reason=cause.reason, **facts))
        self._say(self._bye)
        self._cause = cause
        self._loop.after("leave", ACK_WAIT_S, self._finish)
        self._close_if_done()

    def _close_if_done(self) -> None:
        """Close once every output is acknowledged; the server's answer to that proves that it has read the rest."""
        if self._session.welcomed and not self._ledger.done:
            self._ship_logs()
            self._send_outbox()
            self._session.close()
            self._loop.after("leave", CLOSE_WAIT_S, self._finish)

    def _finish(self) -> None:
        if self._loop.has("sweep"):
            self._sweep()
        self._session.stop()
        self._exit = EXIT_OK if self._cause is DRAINED else EXIT_ENDED

    # Logs.

    def _read_log(self, fd: int, _: int) -> None:
        self._heard = now = self._loop.now()
        if not self._logs.read(fd, now):
            self._loop.forget(fd)
        if self._logs.pending and not self._loop.has("logs"):
            self._loop.after("logs", LOG_TICK_S, self._log_tick)

    def _log_tick(self) -> None:
        self._logs.settle(self._loop.now())
        self._ship_logs()

    def _ship_logs(self) -> None:
        """Send the lines there are; without a session they wait, and are bounded."""
        if not self._logs.batch:
            return
        if not self._session.welcomed or self._session.unsent_bytes > MAX_UNSENT_BYTES:
            self._loop.after("logs", LOG_TICK_S, self._log_tick)
            return
        payload, dropped = self._logs.batch.take(self._loop.now())
        self._say(w.pack(w.LOG, payload=payload, meta=w.meta(dropped=dropped)))

    # The end.

    def _signalled(self) -> None:
        """SIGTERM or SIGINT: drain; the second time, at once."""
        if self._draining:
            self._end_all()
            self._finish()
        else:
            self._drain(DRAIN_GRACE_S)

    def _drain(self, grace_s: float) -> None:
        if self._draining or self._phase == LEAVING:
            return
        self._draining = True
        self._drain_by = self._loop.now() + grace_s
        self._loop.at("drain", self._drain_by, lambda: self._end_worker(Cause("drain_timeout")))
        for seq, token in self._ledger.take_back(self._pipe.unused()):
            self._say(w.pack(w.RETURN, seq, token))
        if self._phase == STARTING:
            self._end_worker(DRAINED)
        self._stop_if_drained()

    def _stop_if_drained(self) -> None:
        if not self._draining or self._ledger.handed or self._phase != SERVING or self._cause:
            return
        self._cause = DRAINED
        self._worker.page.set_leaving()
        os.kill(self._worker.pid, signal.SIGTERM)
        now = self._loop.now()
        self._loop.drop("drain")
        if self._definition and self._definition.exits:
            wait = min(EXIT_WAIT_S, max(self._drain_by - now, STOP_WAIT_S))
            self._loop.after("stop", wait, partial(self._exit_over, wait))
            return
        wait = min(STOP_WAIT_S, max(self._drain_by - now, 0.0))
        self._loop.after("stop", wait, lambda: self._end_worker(DRAINED))

    def _exit_over(self, waited_s: float) -> None:
        """The exit hooks had their time: that is told in the log, and nobody's input is to blame."""
        told = f"The exit hooks did not end within {waited_s:.0f} s: the process was killed."
        self._logs.batch.add(self._loop.now(), "system", NO_INPUT, told.encode())
        self._end_worker(DRAINED)

    def _end_all(self) -> None:
        """The worker and all that came from it, now."""
        if self._alive:
            tree.kill_group(self._worker.pid)
            os.waitpid(self._worker.pid, 0)
            self._alive = False
        self._sweep()
        self._session.stop()
