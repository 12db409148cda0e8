"""What the Nomad engine is told once, when it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class NomadSettings:
    """Which cluster, and how containers run there.

    Args:
        installation: the store's random id; it is in the name of every job, so that two servers on one cluster do not
            touch each other's.
        public_url: where containers reach this server, without path.
        runner_sha256: the hash (hex) of the runner, which containers fetch from `public_url`.
        grace_s: how long containers live without a server, in seconds.
        kill_timeout_s: between asking a container to end and ending it by force, in seconds.
        address: of the agent's HTTP API.
        token: gives the token of the ACLs as it is now, empty for none, or raises `ClusterRefused`; it is asked before
            each request, since tokens are replaced.
        ca_file: the certificate authority of its TLS; None for those of the machine.
        region: None for the agent's own.
        driver: of functions without an image: `docker` or `raw_exec`.
        default_image: what these run in with docker.
        user: as whom containers run; None for nobody with docker, and for the agent's own user elsewhere.
        docker_network: the network mode of docker containers.
        mhz_per_core: what one core asks for.
        gpu_models: further types of GPUs, by product name.
        jobspecs: the operator's own job specifications.
        finds_servers: the servers of functions that answer HTTP are registered with Consul, and found there.
        without_acls: start on a cluster that has none.
    """

    installation: str
    public_url: str
    runner_sha256: str
    grace_s: float = 600
    kill_timeout_s: float = 5
    address: str = "http://127.0.0.1:4646"
    token: Callable[[], str] = str
    ca_file: Path | None = None
    namespace: str = "default"
    region: str | None = None
    datacenters: tuple[str, ...] = ("*",)
    node_pool: str = "default"
    driver: str = "docker"
    default_image: str | None = None
    user: str | None = None
    python: str = "python3"
    docker_network: str = "bridge"
    mhz_per_core: int = 2000
    gpu_models: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    jobspecs: Path | None = None
    finds_servers: bool = False
    without_acls: bool = False
