"""The settings of the Nomad engine."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def expand(path: object) -> object:
    """A path as given by a person, made absolute."""
    return Path(path).expanduser().absolute() if isinstance(path, str | Path) else path


def split(text: object) -> object:
    """Words with commas between them; anything that is not text passes."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


HumanPath = Annotated[Path, BeforeValidator(expand)]


class NomadFields(BaseSettings):
    """What the operator decides of containers on a Nomad cluster."""

    model_config = SettingsConfigDict(frozen=True, use_attribute_docstrings=True)

    public_url: str | None = None
    """Where containers on other machines reach this server: `http://host:port`. By default what it listens on."""

    nomad_address: str = "http://127.0.0.1:4646"
    """Where the Nomad agent's HTTP API is."""

    nomad_token_file: HumanPath | None = None
    """A file with the ACL token that this server uses; it is read again when it has changed."""

    nomad_ca_file: HumanPath | None = None
    """A file with the certificate authority of Nomad's TLS; by default those of the machine."""

    nomad_namespace: str = "default"
    """The Nomad namespace of all jobs."""

    nomad_region: str | None = None
    """The Nomad region of all jobs; by default the agent's own."""

    nomad_datacenters: Annotated[tuple[str, ...], BeforeValidator(split), NoDecode] = ("*",)
    """Datacenters that containers may run in, with commas."""

    nomad_node_pool: str = "default"
    """The node pool that containers run in."""

    nomad_driver: Literal["docker", "raw_exec"] = "docker"
    """How functions without an image run: in `default_image`, or as plain processes of the nodes, which isolate
    nothing. Functions with an image always run in that, by docker."""

    default_image: str | None = None
    """The image of functions that name none, with python3 (3.9 or newer) on its path."""

    nomad_user: str | None = None
    """As whom containers run; by default docker's as 65534:65534, and plain processes as the nodes' agents do. Another
    user must be able to pass through the data directory of the nodes, which only root is by default."""

    nomad_python: str = "python3"
    """The interpreter that runs functions, as nodes and images know it."""

    nomad_docker_network: str | None = None
    """The network mode of docker containers; by default `host` where `public_url` is this machine, else `bridge`."""

    nomad_mhz_per_core: int = Field(default=2000, ge=100, le=10_000)
    """What one core of a definition's `cpu` asks of Nomad, in MHz."""

    nomad_jobspecs: HumanPath | None = None
    """A folder with your own function.nomad.hcl in the place of the one that comes with Yurt."""

    consul_address: str | None = None
    """Where the Consul agent's HTTP API is, through which the servers of functions that answer HTTP are found. Without
    it such functions are refused."""

    consul_token_file: HumanPath | None = None
    """A file with the ACL token that this server uses, which must read services `yurt-…` and nodes. It is read again
    when it has changed."""

    consul_ca_file: HumanPath | None = None
    """A file with the certificate authority of Consul's TLS; by default those of the machine."""

    nomad_functions_may_command_cluster: bool = False
    """Start although the cluster has no ACLs: then every function can command all of it, through the API socket in its
    secrets directory."""

    @field_validator("public_url", "nomad_address", "consul_address")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not a URL such as http://10.0.0.1:7600")
        return None if url is None else url.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _check_plain(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith("http://"):
            raise ValueError(
                "containers speak plain http with this server: give an address of the form http://host:port"
            )
        return url
