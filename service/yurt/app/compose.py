"""Putting the parts together. Nothing runs yet when this is done; `yurt.app.life` starts and stops it."""

import secrets
from dataclasses import dataclass
from typing import TextIO

from yurt.app.engines import Origin
from yurt.app.gauges import watch
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.web import WebPlaces
from yurt.inbound.gateway.gateway import Gateway
from yurt.inbound.gateway.limits import GatewayLimits
from yurt.inbound.rest.call_shapes import Shaper
from yurt.inbound.rest.callback_shapes import Teller
from yurt.inbound.rest.context import Services
from yurt.inbound.rest.door import Door
from yurt.inbound.rest.readiness import Health
from yurt.inbound.sessions.door import SessionDoor
from yurt.inbound.sessions.runner import RunnerDoor
from yurt.logging import RequestLog
from yurt.loops.callbacks import Deliveries
from yurt.metrics import Metrics
from yurt.outbound.blobs import FileBlobs
from yurt.outbound.callbacks import HttpPost
from yurt.outbound.logs import FileLogs
from yurt.pools.background import Background
from yurt.pools.heart import Heart, Limits
from yurt.pools.later import Later
from yurt.pools.ledger import Ledger
from yurt.pools.lives import Lives
from yurt.pools.numbers import Numbers
from yurt.pools.sessions import Sessions
from yurt.pools.traffic import Traffic
from yurt.pools.visits import Visits
from yurt.ports import Clock, Engine, Store
from yurt.settings import Settings
from yurt.usecases.apps import Apps
from yurt.usecases.awakening import Awakening
from yurt.usecases.backlog import Backlog
from yurt.usecases.bundles import Bundles
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.calls import Calls
from yurt.usecases.catalog import Catalog
from yurt.usecases.container_tokens import ContainerTokens
from yurt.usecases.containers import Containers
from yurt.usecases.environments import Environments
from yurt.usecases.events import Events
from yurt.usecases.functions import Functions
from yurt.usecases.maps import MapDesk
from yurt.usecases.places import Places
from yurt.usecases.redrives import Redrives
from yurt.usecases.registry import Registry
from yurt.usecases.retention import Retention
from yurt.usecases.schedules import Schedules
from yurt.usecases.secrets import Sealer, Secrets
from yurt.usecases.supply import Supply
from yurt.usecases.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Parts:
    """Every part of a server that somebody starts, stops or asks."""

    settings: Settings
    clock: Clock
    store: Store
    blobs: FileBlobs
    logs: FileLogs
    engine: Engine
    background: Background
    numbers: Numbers
    heart: Heart
    later: Later
    lives: Lives
    registry: Registry
    awakening: Awakening
    health: Health
    services: Services
    requests: RequestLog
    door: Door
    visits: Visits
    gateway: Gateway


@dataclass(frozen=True, slots=True)
class Outside:
    """What is opened before the rest can be put together."""

    clock: Clock
    store: Store
    blobs: FileBlobs
    logs: FileLogs
    origin: Origin
    sealer: Sealer


def compose(settings: Settings, outside: Outside, *, web: WebPlaces, log_stream: TextIO) -> Parts:
    """Everything but what is opened first.

    Args:
        web: where functions are reached that answer HTTP.
        log_stream: takes the lines of requests.
    """
    clock, store, engine = outside.clock, outside.store, outside.origin.engine
    tags = Tags(store.identity.key)
    background = Background()
    numbers = Numbers(store.identity.epoch, store.journal.next_epoch)
    heart, later, lives = _heart(settings, outside, background, numbers, tags)
    registry = _registry(settings, outside, heart, web)
    calling = ContainerTokens(store.identity.key, lives, outside.origin.url)
    services = _services(settings, outside, registry, heart, lives, tags, web, calling)
    watch(services.metrics.gauges, heart, store.journal)
    requests = RequestLog.to(log_stream, settings.log_format)
    visits = Visits(heart, lives, clock, outside.origin.discovery)
    gateway = _gateway(settings, registry, heart, visits, services, requests)
    door = Door(services, requests, body_limit_bytes=settings.body_limit_bytes, open_metrics=settings.open_metrics)
    sessions = _sessions(outside, heart, lives, services, calling)
    runner = outside.origin.runner
    for route in (*SessionDoor(sessions, lives).routes(), *RunnerDoor(runner.data, runner.sha256).routes()):
        door.add(*route)
    return Parts(
        settings=settings,
        clock=clock,
        store=store,
        blobs=outside.blobs,
        logs=outside.logs,
        engine=engine,
        background=background,
        numbers=numbers,
        heart=heart,
        later=later,
        lives=lives,
        registry=registry,
        awakening=Awakening(
            store=store,
            registry=registry,
            heart=heart,
            lives=lives,
            engine=engine,
            tags=tags,
            clock=clock,
            stop_unknown=settings.stop_unknown_containers,
        ),
        health=services.health,
        services=services,
        requests=requests,
        door=door,
        visits=visits,
        gateway=gateway,
    )


def _sessions(outside: Outside, heart: Heart, lives: Lives, services: Services, calling: ContainerTokens) -> Sessions:
    """What containers say, and are told."""
    return Sessions(
        lives=lives,
        journal=outside.store.journal,
        blobs=outside.blobs,
        logs=outside.logs,
        clock=outside.clock,
        meet=heart.reach.meet,
        adopt=heart.recovery.adopt,
        variables=services.secrets.variables,
        calling=calling.variables,
        heard=heart.hurry,
        identities=outside.origin.identities,
    )


def _gateway(
    settings: Settings, registry: Registry, heart: Heart, visits: Visits, services: Services, requests: RequestLog
) -> Gateway:
    """The door of functions that answer HTTP."""

    def find(label: str) -> LiveFunction | None:
        function_id = registry.labels.function_id(label)
        return None if function_id is None else registry.catalog.by_id(function_id)

    def traffic(function_id: str) -> Traffic | None:
        pool = heart.pools.get(function_id)
        return None if pool is None or pool.retired_by is not None else pool.traffic

    return Gateway(
        find=find,
        traffic=traffic,
        tick=visits.tick,
        tokens=services.tokens,
        log=requests,
        observe=services.metrics.requests.observe,
        limits=GatewayLimits(
            head_bytes=settings.web_head_bytes,
            body_bytes=settings.web_body_bytes,
            idle_s=settings.web_idle_s,
            wait_s=settings.web_wait_s,
            waiting=settings.web_waiting,
        ),
        trusted=settings.web_trusted,
    )


def _heart(
    settings: Settings, outside: Outside, background: Background, numbers: Numbers, tags: Tags
) -> tuple[Heart, Later, Lives]:
    """The heart, what its timers do, and who starts and ends its containers."""
    clock, store = outside.clock, outside.store
    ledger = Ledger(store.journal, outside.blobs, clock, background)
    heart = Heart(
        ledger=ledger,
        blobs=outside.blobs,
        clock=clock,
        numbers=numbers,
        tags=tags,
        background=background,
        reads=store.maps,
        limits=Limits(item_bytes=settings.generator_limit_bytes),
    )
    lives = Lives(
        engine=outside.origin.engine,
        ledger=ledger,
        clock=clock,
        background=background,
        url=outside.origin.url,
        installation=store.identity.installation,
        grace_s=settings.grace_s,
        cancel_grace_s=settings.cancel_grace_s,
    )
    heart.attach(lives)
    return heart, Later(heart, ledger, store.maps), lives


def _registry(settings: Settings, outside: Outside, heart: Heart, web: WebPlaces) -> Registry:
    """The ground of the use cases for apps and functions."""
    engine = outside.origin.engine
    return Registry(
        store=outside.store,
        blobs=outside.blobs,
        clock=outside.clock,
        random_bytes=secrets.token_bytes,
        environments=Environments(outside.store, outside.clock),
        catalog=Catalog(),
        deployments=heart.functions,
        default_max=settings.max_containers,
        honours_image=engine.capabilities.honours_image,
        isolates=engine.capabilities.isolates,
        web=web,
        requirements=engine.capabilities.requirements,
        finds_servers=engine.capabilities.web,
        capacity=engine.capacity,
        python=lambda: engine.capabilities.python,
        foresee=engine.foresee,
    )


def _services(
    settings: Settings,
    outside: Outside,
    registry: Registry,
    heart: Heart,
    lives: Lives,
    tags: Tags,
    web: WebPlaces,
    calling: ContainerTokens,
) -> Services:
    """What the handlers of the REST door call."""
    clock, store, engine = outside.clock, outside.store, outside.origin.engine
    places = Places(store.records)
    post = HttpPost(settings.callback_allow)
    callbacks = Callbacks(store, post, clock, registry.environments, secrets.token_bytes, settings.callback_allow)
    calls = Calls(heart, store, outside.blobs, tags, clock, places, callbacks)
    maps = MapDesk(heart, store, tags, clock, callbacks)
    return Services(
        environments=registry.environments,
        tokens=Tokens(store, clock, secrets.token_bytes, registry.environments, calling),
        health=Health(
            {"store": store.check, "engine": engine.check},
            engine.capabilities.notes,
            (outside.origin.discovery.trouble,),
        ),
        metrics=Metrics(),
        apps=Apps(registry),
        functions=Functions(registry),
        bundles=Bundles(registry),
        secrets=Secrets(registry, outside.sealer),
        calls=calls,
        maps=maps,
        redrives=Redrives(calls, maps, store, tags),
        backlog=Backlog(heart, clock),
        schedules=Schedules(registry, calls),
        body_limit_bytes=settings.body_limit_bytes,
        callbacks=callbacks,
        events=Events(calls, outside.logs),
        containers=Containers(lives, store.records, places),
        supply=Supply(engine, lives),
        logs=outside.logs,
        heart=heart,
        shaper=Shaper(tags),
        clock=clock,
        web=web,
    )


def retention(parts: Parts) -> Retention:
    """What deletes what is past its days."""
    store = parts.store
    return Retention(
        store,
        parts.blobs,
        parts.clock,
        kept_s=parts.settings.retention,
        written=lambda: store.journal.stats().changes,
        expire_logs=parts.logs.expire,
    )


def deliveries(parts: Parts) -> Deliveries:
    """What tells receivers of the ends of calls."""
    services = parts.services
    return Deliveries(services.callbacks, Teller(services.calls, services.shaper), parts.clock)
