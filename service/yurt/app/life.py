"""The life of the process: start, serve, stop.

Start: settings, store, heart, engine, loops, doors. Stop: the doors refuse new work; running inputs get their grace;
containers are stopped and their inputs stay pending; loops stop, the journal is flushed, the store closes. A second
signal ends it at once.
"""

import asyncio
import gc
import signal
import socket
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web

from yurt.app.compose import Outside, Parts, compose, deliveries, retention
from yurt.app.engines import Origin, make_origin
from yurt.app.web import reached_at, web_ports
from yurt.clock import SystemClock
from yurt.domain.records import Secret
from yurt.inbound.gateway.requests import Sites
from yurt.inbound.rest.readiness import Phase
from yurt.inbound.rest.server import DoorRunner
from yurt.inbound.switch import SharedPort
from yurt.logging import configure
from yurt.loops.containers import watch_containers
from yurt.loops.engine import tidy_engine
from yurt.loops.expiry import expire
from yurt.loops.retention import delete_old
from yurt.loops.scheduler import run_schedules
from yurt.loops.supervisor import Supervisor
from yurt.loops.timers import run_timers
from yurt.outbound.admin_token import FILE_NAME, write_admin_token
from yurt.outbound.blobs import FileBlobs
from yurt.outbound.engines.local import InterpreterUnusable, RunDirRefused
from yurt.outbound.logs import FileLogs
from yurt.outbound.sealing import KeyRing, SecretKeyRefused, open_ring
from yurt.outbound.store import StoreRefused, open_chosen
from yurt.ports import ClusterRefused, Store
from yurt.settings import Address, Settings
from yurt.usecases.awakening import EarlyReports

RUNNING_GRACE_S = 30.0
"""What running inputs get when the server is told to stop, in seconds; nothing where a part of it has failed: what they
return could not be kept."""

_LOOK_S = 0.05
BACKLOG = 4096
GC_THRESHOLD = 100_000
"""New container objects between two looks of the collector: those of some hundred calls."""

SWITCH_S = 0.0005
"""How long the loop and the threads keep each other waiting for their turns, in seconds. By default that is 5 ms, which
is ten calls, and the thread that commits at the level `power` waits for its turn with every row."""

log = structlog.get_logger(__name__)


async def serve(settings: Settings) -> int:
    """Run the server until a signal, or until a part of it fails.

    Returns:
        The exit status: 0 after a signal, 1 where it could not start or a part failed.
    """
    configure(level=settings.log_level.upper(), stream=sys.stderr, form=settings.log_format)
    stop = _signals()
    try:
        async with AsyncExitStack() as stack:
            parts, supervisor = await _start(settings, stack)
            await _first(stop, supervisor.failed)
            stack.push_async_callback(_say_goodbye, supervisor)
            stop.clear()
            stays = parts.engine.capabilities.outlives
            await _drain(parts, stop, grace_s=0 if supervisor.failure or stays else RUNNING_GRACE_S)
    except (StoreRefused, SecretKeyRefused, RunDirRefused, InterpreterUnusable, ClusterRefused, OSError) as error:
        sys.stderr.write(f"yurt cannot start: {error}\n")
        return 1
    return 1 if supervisor.failure else 0


def _signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _first(*events: asyncio.Event) -> None:
    """Return when one of the events is set."""
    tasks = [asyncio.create_task(event.wait(), name="wait-for-the-end") for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _say_goodbye(supervisor: Supervisor) -> None:
    log.info("server_stopped", reason=supervisor.failure or "signal")


# ---------------------------------------------------------------------- start


async def _start(settings: Settings, stack: AsyncExitStack) -> tuple[Parts, Supervisor]:
    """Open everything; what is opened is closed by the stack, last first."""
    clock = SystemClock()
    listener = _listen(settings.listen, "--listen")
    stack.callback(listener.close)
    store = await stack.enter_async_context(
        open_chosen(settings.data_dir, settings.store_url, clock=clock, power=settings.durability == "power")
    )
    blobs = FileBlobs(settings.data_dir / "blobs")
    await blobs.open()
    stack.push_async_callback(blobs.close)
    logs = FileLogs(settings.data_dir / "logs", clock)
    await logs.open()
    stack.push_async_callback(logs.close)
    origin = make_origin(settings, store.identity.installation, _url(listener), logs, clock)
    outside = Outside(clock, store, blobs, logs, origin, await _keys(settings, store))
    own = _listen(settings.gateway_listen, "--gateway-listen") if settings.gateway_listen is not None else None
    if own is not None:
        stack.callback(own.close)
    ports = web_ports(settings, reached_at(listener), reached_at(own) if own is not None else None)
    parts = compose(settings, outside, web=ports.places, log_stream=sys.stderr)
    stack.push_async_callback(parts.gateway.stop)
    stack.push_async_callback(parts.background.close)
    supervisor = Supervisor()
    stack.push_async_callback(supervisor.stop)
    stack.push_async_callback(_stop_engine, parts)
    await _wake(parts)
    supervisor.run("store", store.watch())
    supervisor.run("containers", watch_containers(parts.heart, parts.lives, parts.numbers, clock))
    supervisor.run("engine", tidy_engine(parts.engine, parts.registry.catalog.all, clock))
    supervisor.run("expiry", expire(clock, parts.services.apps))
    supervisor.run("timers", run_timers(parts.later, parts.heart.timers, clock))
    supervisor.run("schedules", run_schedules(parts.services.schedules, clock))
    supervisor.run("retention", delete_old(retention(parts), clock))
    supervisor.run("callbacks", deliveries(parts).run())
    supervisor.run("request-log", parts.requests.run())
    supervisor.run("gateway", parts.gateway.watch())
    supervisor.run("discovery", outside.origin.discovery.run(parts.visits.found))
    _settle()
    await _open_doors(parts, origin, listener, stack, ports.shared)
    if own is not None and ports.own is not None:
        await _open_gateway(parts, own, ports.own, stack)
    stack.push_async_callback(_stop_engine, parts)
    return parts, supervisor


async def _keys(settings: Settings, store: Store) -> KeyRing:
    needed = {secret.key_id for secret in await store.records.find(Secret, {})}
    given = settings.secret_key.get_secret_value() if settings.secret_key is not None else None
    return open_ring(settings.data_dir, given=given, file=settings.secret_key_file, needed=needed)


def _settle() -> None:
    """What is there now stays: the collector need not look at it, nor at the rest after every 700 new objects."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


def _listen(wanted: Address, flag: str) -> socket.socket:
    """Bind first: the address is known before anything that needs it, and a taken port stops the start at once."""
    host, port = wanted
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(f"{wanted} cannot be listened on: {error.strerror}. Choose another with {flag}.") from error
    return listener


def _listen_at(path: Path) -> socket.socket:
    """Listen in the file system, for every user of this machine, as on a port of the loopback."""
    path.unlink(missing_ok=True)  # a dead server's: this one alone has the store whose installation names the path
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(f"{path} cannot be listened on: {error.strerror}. Choose another --run-dir.") from error
    return listener


def _url(listener: socket.socket) -> str:
    """Where a process of this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _wake(parts: Parts) -> None:
    services = parts.services
    await services.environments.open()
    await services.callbacks.open()
    await _admin_token(parts)
    await parts.registry.load()
    await services.apps.renew_all(parts.clock.now())
    reports = EarlyReports(parts.lives.reported)
    observed = await parts.engine.open(reports)
    parts.health.notes = parts.engine.capabilities.notes
    await parts.awakening.run(observed)
    reports.pass_on()
    if parts.awakening.note is not None:
        parts.health.notes += (parts.awakening.note,)


async def _admin_token(parts: Parts) -> None:
    async def publish(word: str) -> None:
        await write_admin_token(parts.settings.data_dir, word)
        log.info("admin_token_written", path=str(parts.settings.data_dir / FILE_NAME))

    await parts.services.tokens.ensure_admin(publish)


async def _open_gateway(parts: Parts, own: socket.socket, sites: Sites, stack: AsyncExitStack) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(parts.gateway.front, sites), sock=own, backlog=BACKLOG)
    stack.callback(server.close)
    log.info("serving_web", url=_url(own), host=own.getsockname()[0])


async def _open_session_socket(parts: Parts, path: Path, stack: AsyncExitStack) -> None:
    """Wait for containers of this machine; they come back to the same path when the server starts again."""
    listener = _listen_at(path)
    stack.callback(listener.close)
    runner = DoorRunner(parts.door, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, backlog=BACKLOG).start()


async def _open_doors(
    parts: Parts, origin: Origin, listener: socket.socket, stack: AsyncExitStack, shared: Sites | None
) -> None:
    share = SharedPort(parts.gateway, shared) if shared is not None else None
    runner = DoorRunner(parts.door, shutdown_timeout=1.0, share=share)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, backlog=BACKLOG).start()
    if origin.socket is not None:
        await _open_session_socket(parts, origin.socket, stack)
    parts.health.phase = Phase.SERVING
    for note in parts.health.notes:
        log.warning("engine_note", note=note)
    host = listener.getsockname()[0]
    log.info("serving", url=_url(listener), host=host, data_dir=str(parts.settings.data_dir))


# ---------------------------------------------------------------------- stop


async def _drain(parts: Parts, again: asyncio.Event, *, grace_s: float) -> None:
    """Refuse new work and give what runs its time; a second signal cuts that short."""
    parts.health.phase = Phase.STOPPING
    parts.heart.close()
    parts.gateway.close()
    running = parts.heart.running
    log.info("stopping", running_inputs=running(), grace_s=grace_s)
    end = parts.clock.monotonic() + grace_s
    while _busy(parts, running(), grace_s) and parts.clock.monotonic() < end and not again.is_set():
        await parts.clock.sleep(_LOOK_S)


def _busy(parts: Parts, running: int, grace_s: float) -> int:
    """What is waited for: inputs, and containers with something to do at their end."""
    return running + parts.lives.part(grace_s) if grace_s else running


async def _stop_engine(parts: Parts) -> None:
    """End all containers, unless they outlive the server; what they had not finished stays pending, without blame."""
    parts.lives.close()
    await parts.engine.close(stop_all=not parts.engine.capabilities.outlives)
