"""What the local engine is told once, when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from yurt.outbound.engines.local.environments.settings import EnvironmentSettings


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Where and as whom containers run.

    Args:
        installation: the store's random id; it marks every process, so that a later server finds its own.
        run_dir: what containers need lies here, outside the data directory.
        python: the interpreter, 3.9 or newer, taken as given: a virtual environment's path keeps its packages.
        runner: the runner as one zip file that Python can run.
        runner_sha256: its hash (hex), which names the file, so that a newer server does not change it under
            containers that still load from it.
        user: whom containers run as when the server is root; None for the server's own user.
        environments: where and how those for functions with requirements are made; None for a folder of the run
            directory.
        gpu_models: further types of GPUs by their product names.
        socket: where the server waits for sessions; None for its port.
        driver_variables: with which the libraries of the GPUs' driver are found, by its own program and in containers.
    """

    installation: str
    run_dir: Path
    python: Path
    runner: bytes = field(repr=False)
    runner_sha256: str
    environments: EnvironmentSettings | None = None
    user: str | None = "nobody"
    gpu_models: Mapping[str, str] = field(default_factory=dict)
    socket: Path | None = None
    driver_variables: Mapping[str, str] = field(default_factory=dict)
