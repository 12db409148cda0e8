"""What a server has on a cluster, as the settings have it: the engine, and what finds its web servers."""

import ipaddress
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from yurt.outbound.discovery import ConsulDiscovery, ConsulSettings, LocalDiscovery
from yurt.outbound.engines.nomad import NomadEngine, NomadSettings
from yurt.outbound.runner_file import RunnerFile
from yurt.outbound.token_file import TokenFile
from yurt.ports import ClusterRefused, Discovery
from yurt.settings import Settings


def engine(settings: Settings, installation: str, public_url: str, runner: RunnerFile) -> NomadEngine:
    """The engine of the cluster.

    Raises:
        ClusterRefused: a file that the settings name cannot be read.
    """
    return NomadEngine(nomad_settings(settings, installation, public_url, runner.sha256))


def discovery(settings: Settings, installation: str) -> Discovery:
    """What finds servers on the cluster; without Consul, nothing that there is to find.

    Raises:
        ClusterRefused: a file that the settings name cannot be read.
    """
    consul = consul_settings(settings, installation)
    return LocalDiscovery() if consul is None else ConsulDiscovery(consul)


def consul_settings(settings: Settings, installation: str) -> ConsulSettings | None:
    """The part of the settings that is about Consul; None where it is not used.

    Raises:
        ClusterRefused: a file that the settings name cannot be read.
    """
    if settings.consul_address is None:
        return None
    token = _readable(settings.consul_token_file)
    return ConsulSettings(settings.consul_address, installation, token, _authority(settings.consul_ca_file))


def nomad_settings(settings: Settings, installation: str, public_url: str, runner_sha256: str) -> NomadSettings:
    """What the Nomad engine is told.

    Raises:
        ClusterRefused: the file of the token, or of the authority, cannot be read.
    """
    return NomadSettings(
        installation=installation,
        public_url=public_url,
        runner_sha256=runner_sha256,
        grace_s=settings.grace_s,
        kill_timeout_s=settings.cancel_grace_s,
        address=settings.nomad_address,
        token=_readable(settings.nomad_token_file),
        ca_file=_authority(settings.nomad_ca_file),
        namespace=settings.nomad_namespace,
        region=settings.nomad_region,
        datacenters=settings.nomad_datacenters,
        node_pool=settings.nomad_node_pool,
        driver=settings.nomad_driver,
        default_image=settings.default_image,
        user=settings.nomad_user,
        python=settings.nomad_python,
        docker_network=settings.nomad_docker_network or ("host" if _is_here(public_url) else "bridge"),
        mhz_per_core=settings.nomad_mhz_per_core,
        gpu_models=settings.gpu_models,
        jobspecs=settings.nomad_jobspecs,
        finds_servers=settings.consul_address is not None,
        without_acls=settings.nomad_functions_may_command_cluster,
    )


def _readable(path: Path | None) -> TokenFile:
    """The file of a token, which could be read just now; a wrong path is to be known at the start."""
    token = TokenFile(path)
    token()
    return token


def _authority(path: Path | None) -> Path | None:
    """The file of certificates, if it is one."""
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:  # ssl.SSLError is one
            raise ClusterRefused(f"The file of a certificate authority, {path}, cannot be read: {error}.") from error
    return path


def _is_here(url: str) -> bool:
    """Whether a URL is of this machine alone: a container with a network of its own would not reach it."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
