"""The engine that the settings name, and what else comes with it."""

from dataclasses import dataclass, field
from pathlib import Path

from yurt.outbound.discovery import LocalDiscovery
from yurt.outbound.engines.local import EnvironmentSettings, LocalEngine, LocalSettings, session_socket
from yurt.outbound.runner_file import RunnerFile, build_runner
from yurt.ports import Clock, Discovery, Engine, Identities, LogLine, Logs
from yurt.settings import Settings


@dataclass(frozen=True, slots=True)
class Origin:
    """Where containers come from.

    Args:
        url: where they reach this server, without path.
        identities: knows the credentials that the engine gives them, where it does.
        runner: what they run, for those who fetch it from this server.
        discovery: tells where their servers are.
        socket: where containers of this machine reach the server instead, if they do.
    """

    engine: Engine
    url: str
    runner: RunnerFile
    identities: Identities | None = None
    discovery: Discovery = field(default_factory=LocalDiscovery)
    socket: Path | None = None


def make_origin(settings: Settings, installation: str, url: str, logs: Logs, clock: Clock) -> Origin:
    """The engine that the settings name.

    Args:
        settings: of this start.
        installation: the store's random id.
        url: where this machine reaches the server.
        logs: where the engine's own words about containers go.
        clock: dates them.

    Raises:
        ClusterRefused: a file that the settings name cannot be read.
    """
    runner = build_runner()
    if settings.engine == "nomad":
        from yurt.app import cluster  # noqa: PLC0415  # its clients would cost every other start a tenth of a second

        public = settings.public_url or url
        engine = cluster.engine(settings, installation, public, runner)
        return Origin(engine, public, runner, engine.identities, cluster.discovery(settings, installation))
    socket = session_socket(settings.run_dir, installation)
    return Origin(_local(settings, installation, runner, socket, logs, clock), url, runner, socket=socket)


def _local(
    settings: Settings, installation: str, runner: RunnerFile, socket: Path | None, logs: Logs, clock: Clock
) -> LocalEngine:
    def say(function_id: str, container_id: str, text: str) -> None:
        logs.append([LogLine(clock.now(), "system", container_id, function_id, 0, 0, text)])

    return LocalEngine(
        LocalSettings(
            installation=installation,
            run_dir=settings.run_dir,
            python=settings.python,
            runner=runner.data,
            runner_sha256=runner.sha256,
            user=settings.container_user,
            gpu_models=settings.gpu_models,
            socket=socket,
            driver_variables=settings.driver_variables(),
            environments=EnvironmentSettings(
                settings.environments_dir,
                variables=settings.installer_variables(),
                timeout_s=settings.requirements_timeout_s,
                keep_s=settings.requirements_keep,
            ),
        ),
        say,
    )
