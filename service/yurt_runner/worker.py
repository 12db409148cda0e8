"""The worker: loads the function, then runs it for one input after the other."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple, Union

from yurt_runner import faults
from yurt_runner.attempt import Plain, Terms, Work
from yurt_runner.errors import trace
from yurt_runner.fork import Links
from yurt_runner.inbox import Inbox, Permitted
from yurt_runner.load import EntrypointError, find, is_async, is_generator, load, load_error, prepare_path
from yurt_runner.memory import limit_memory, name_limit, stack_bytes
from yurt_runner.printing import Printing
from yurt_runner.start import rows_of
from yurt_runner.sync_worker import SyncWorker
from yurt_runner.unpack import unpack
from yurt_runner.wire import FAILED, READY, Frame, meta, pack

if TYPE_CHECKING:
    from yurt_runner.async_worker import AsyncWorker
    from yurt_runner.classes import Instance
    from yurt_runner.thread_worker import ThreadWorker

    Worker = Union[SyncWorker, ThreadWorker, AsyncWorker]


def main(links: Links) -> int:
    """Everything the worker does. Returns the exit status; the process ends otherwise when the supervisor has gone."""
    inbox = Inbox(links)
    frame = inbox.frame()
    welcome = frame.header()
    began = time.monotonic()
    links.page.rows = rows_of(welcome)
    printing = new_printing(links)
    faulthandler.enable(file=sys.stderr)  # a segfault says where it came from, in the output that its error shows
    source = os.path.join(os.path.realpath(welcome["scratch"]), "src")
    memory_mib = int(welcome.get("memory_mib", 512))
    try:
        set_environment(welcome)
        if not welcome.get("gpu"):  # the libraries of GPUs map far more than they use, which the kernel would count
            limit_memory(memory_mib, spare_bytes=links.page.rows * stack_bytes() if links.page.rows > 1 else 0)
        fill_source(frame, welcome, source)
        if welcome.get("web"):
            from yurt_runner.web import serve  # asyncio, and more: only for those who use it

            return serve(links, printing, welcome, source, began)
        function, instance = load_of(welcome, source)
        terms = Terms(function, source, float(welcome.get("timeout_s", 300)), memory_mib)
        work = new_work(terms, links, welcome, instance)
        worker: Any = new_worker(links, permitted(inbox, welcome), printing, terms, work)
        if instance is not None:
            instance.enter(worker.call if work.is_async else instance.call)
    except BaseException as error:  # noqa: BLE001 - whatever the import raises, SystemExit too, is its result
        printing.end(0, 0)
        links.sock.sendall(_failed(error, source, memory_mib, welcome.get("interpreter_hint", "--python")))
        return 1
    try:
        printing.end(0, 0)  # what the import printed is not the first input's
        told = {"generator": True} if instance is None and is_generator(terms.function) else {}
        ready = meta(slots=links.page.rows, startup_s=round(time.monotonic() - began, 3), **told)
        if instance is not None and instance.leaves:
            serve_and_leave(links, worker, work, pack(READY, meta=ready))
            instance.exit(worker.call if work.is_async else instance.call, source)
            printing.end(0, 0)
            return 0
        links.sock.sendall(pack(READY, meta=ready))
        worker.run()
    except MemoryError:  # in the runner's own code: the attempt's are caught with the attempt
        links.page.set_out_of_memory()
    return 1


def load_of(welcome: Dict[str, Any], source: str) -> Tuple[Callable[..., Any], Optional[Instance]]:
    """The function, or the class and the object of it that this container has.

    Raises:
        BaseException: whatever comes of the import, or of making the object.
    """
    if welcome.get("kind") != "class":
        return load(welcome["entrypoint"], source), None
    from yurt_runner.classes import Instance

    found = find(welcome["entrypoint"], source)
    return found, Instance(found, welcome)


def new_printing(links: Links) -> Printing:
    """Standard output and error, by how many inputs share them."""
    if links.page.rows == 1:
        return Printing(links)
    from yurt_runner.voices import Voices

    return Voices(links)


def permitted(inbox: Inbox, welcome: Dict[str, Any]) -> Permitted:
    """Where the worker gets what it runs."""
    if welcome.get("batching"):
        from yurt_runner.batch import BatchInbox

        return BatchInbox(inbox)
    return inbox


def new_work(terms: Terms, links: Links, welcome: Dict[str, Any], instance: Optional[Instance]) -> Work:
    """What an attempt does, by the kind of function.

    Raises:
        EntrypointError: the function cannot be run in that way.
    """
    if welcome.get("batching"):
        from yurt_runner.batch import Batched

        if instance is not None:
            (function,) = instance.methods.values()
            terms = terms._replace(function=function)
        if is_generator(terms.function):
            raise EntrypointError(f"{welcome['entrypoint']} is a generator: a batched function returns a list.")
        return Batched(terms, is_async=is_async(terms.function), name=welcome["entrypoint"])
    if instance is not None:
        from yurt_runner.classes import OfClass

        return OfClass(instance, links)
    if is_generator(terms.function):
        from yurt_runner.yields import Generated

        return Generated(terms, links, is_async=is_async(terms.function))
    return Plain(terms.function, is_async=is_async(terms.function))


def new_worker(links: Links, inbox: Permitted, printing: Printing, terms: Terms, work: Work) -> Worker:
    """Where inputs run: on an event loop, in threads, or one by one."""
    if work.is_async:
        from yurt_runner.async_worker import AsyncWorker  # asyncio costs 40 ms: only for those who use it

        return AsyncWorker(links, inbox, printing, terms, work)
    if links.page.rows > 1:
        from yurt_runner.thread_worker import ThreadWorker

        return ThreadWorker(links, inbox, printing, terms, work)
    return SyncWorker(links, inbox, printing, terms, work)


def serve_and_leave(links: Links, worker: Any, work: Work, ready: bytes) -> None:
    """Serve until the supervisor has nothing more to run, and wants the exit hooks to be called."""
    from yurt_runner.classes import Leave, die_unless_leaving, leave_at_term

    with suppress(Leave):
        if work.is_async:
            worker.stop_at(signal.SIGTERM, partial(die_unless_leaving, links))
        else:
            leave_at_term(links)
        links.sock.sendall(ready)  # from here on it may come
        worker.run()
    links.page.clear()  # it may have come before the last input was crossed out


def set_environment(welcome: Dict[str, Any]) -> None:
    """The function's own variables, then those that name it."""
    os.environ.update(welcome.get("env") or {})
    for name in ("environment", "app", "function", "revision", "container_id"):
        os.environ[f"YURT_{name.upper()}"] = str(welcome.get(name, ""))


def fill_source(frame: Frame, welcome: Dict[str, Any], source: str) -> None:
    """Unpack the source, make it the working folder, and put it first on the path."""
    os.makedirs(source, mode=0o700, exist_ok=True)
    if welcome.get("archive"):
        with open(welcome["archive"], "rb") as file:
            unpack(file.read(), source)
        os.remove(welcome["archive"])
    elif frame.payload:
        unpack(frame.payload, source)
    os.chdir(source)
    prepare_path(source)


def _failed(error: BaseException, source: str, memory_mib: int, hint: str) -> bytes:
    if isinstance(error, MemoryError):
        outcome = "out_of_memory"
        facts = faults.out_of_memory(memory_mib, traceback=trace(error, source))
    else:
        outcome, facts = "init_failure", name_limit(load_error(error, source, hint), memory_mib)
    return pack(FAILED, payload=faults.as_json(facts), meta=meta(phase="import", outcome=outcome))
