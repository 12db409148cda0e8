"""The settings of the server: one frozen tree, and the only place in the server that reads the environment.

Each field can be set by `YURT_<FIELD>` and by the flag of `yurt serve` with its name. The tree is made once, at the
start, and passed to whoever needs it; nothing imports a global of it.
"""

import difflib
import hashlib
import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from yurt.domain import gpu
from yurt.domain.callbacks import Network
from yurt.domain.secrets import read_keys
from yurt.settings_nomad import HumanPath, NomadFields

PREFIX = "YURT_"

OF_OTHERS = frozenset({"URL", "TOKEN", "ENVIRONMENT", "APP", "FUNCTION", "REVISION", "CONTAINER_ID", "INSTALLATION"})
"""What follows the prefix in variables of the command line and of containers; the server leaves them alone."""


class Address(NamedTuple):
    """Where to listen. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: object) -> object:
    """Read `host:port`, with an IPv6 host in brackets; anything that is not text passes.

    Raises:
        ValueError: it is not of that form.
    """
    if not isinstance(text, str):
        return text
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port, such as 127.0.0.1:7600")
    return Address(host, int(port))


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: object) -> object:
    """Read a number with its unit, such as `7d`, as seconds; anything that is not text passes.

    Raises:
        ValueError: it is not of that form.
    """
    if not isinstance(text, str):
        return text
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is not a number with s, m, h or d, such as 7d")
    return float(found[1]) * _UNITS_S[found[2]]


def parse_networks(text: object) -> object:
    """Read networks with commas between them; anything that is not text passes.

    Raises:
        ValueError: one is not of the form address/bits, or has bits beyond those.
    """
    if not isinstance(text, str):
        return text
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_names(text: object) -> object:
    """Read names of variables with commas between; anything that is not text passes."""
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_gpu_models(text: object) -> object:
    """Read `PRODUCT NAME=TYPE` with commas between, as types by name; anything that is not text passes.

    Raises:
        ValueError: one has another form, or a type that is not one or stands for several.
    """
    if not isinstance(text, str):
        return text
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        model, equals, name = (piece.strip() for piece in part.rpartition("="))
        if not equals or not model:
            raise ValueError(f"{part!r} is not of the form PRODUCT NAME=TYPE, such as NVIDIA A40=A10")
        known = gpu.canonical(name)
        if known not in gpu.MODELS:
            raise ValueError(f"{name!r} is not one type of GPU: known are {', '.join(gpu.MODELS)}")
        found[model] = known
    return found


def check_store_url(url: str) -> None:
    """Return if it may be the URL of a store.

    Raises:
        ValueError: it may not; the message does not repeat it, for the sake of its password.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(
            "is not a URL of the form postgresql://user@host:port/database. A store in SQLite needs none: it is in"
            " the data directory (--data-dir)"
        )


_WEB_URL = re.compile(r"https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?")


def check_web_url(url: str | None) -> str | None:
    """Return it, without a slash at its end.

    Raises:
        ValueError: names of functions cannot be put below it.
    """
    if url is None:
        return None
    plain = url.lower().removesuffix("/")
    if not _WEB_URL.fullmatch(plain):
        raise ValueError(f"{url!r} is not scheme://host or scheme://host:port, such as https://apps.example.com")
    return plain


def default_run_dir(data_dir: Path) -> Path:
    """A directory outside the data directory, one for each, that containers of another user can pass through."""
    mark = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    if os.getuid() == 0:
        return Path("/run") / f"yurt-{mark}"
    session = os.environ.get("XDG_RUNTIME_DIR")
    return Path(session) / f"yurt-{mark}" if session else Path("/tmp") / f"yurt-{os.getuid()}-{mark}"  # noqa: S108


def default_environments_dir(run_dir: Path) -> Path:
    """The run directory, unless it is in memory, and often closed to programs, as everything below /run is."""
    if not run_dir.is_relative_to("/run"):
        return run_dir / "environments"
    return (Path("/var/cache") if os.getuid() == 0 else Path("~/.cache").expanduser()) / run_dir.name


class Settings(NomadFields):
    """What the operator decides. Values come from flags, then the environment, then these defaults."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # some are secret
    )

    data_dir: HumanPath = Field(default=Path("~/.local/share/yurt"), validate_default=True)
    """The store, blobs, logs and the administrator's token. Made with mode 0700."""

    store: SecretStr | None = None
    """Where the store is: `postgresql://user@host:port/database`; by default in SQLite, in the data directory. A
    password is safer in YURT_STORE or in ~/.pgpass than in a flag, which others on this machine can read."""

    secret_key: SecretStr | None = None
    """What secrets are encrypted with: 32 random bytes in base64 (`openssl rand -base64 32`); several with commas
    between while one takes over, the new one first. By default the server makes a key of its own and keeps it in
    `secret-key` in the data directory."""

    secret_key_file: HumanPath | None = None
    """A file with what YURT_SECRET_KEY would hold."""

    durability: Literal["process", "power"] | None = None
    """What an accepted call survives in SQLite: `process` (the default) the death of the server, `power` also that of
    the machine, for about twice the time a call. PostgreSQL always promises what `power` does."""

    run_dir: HumanPath = Field(default_factory=lambda values: default_run_dir(values["data_dir"]))
    """What containers need: scratch directories and the runner. Made with mode 0711, never inside the data directory;
    by default under /run for root, else under $XDG_RUNTIME_DIR or /tmp."""

    listen: Annotated[Address, BeforeValidator(parse_address), NoDecode] = Address("127.0.0.1", 7600)
    """`host:port` of the REST API. Port 0: the system chooses, and the start says which."""

    gateway_listen: Annotated[Address | None, BeforeValidator(parse_address), NoDecode] = None
    """`host:port` of a further port for functions that answer HTTP, by the name of the host and by `/web/<label>/`.
    Needed for the latter where `--listen` is not of the loopback: their pages must not share the API's origin."""

    web_url: Annotated[str | None, AfterValidator(check_web_url)] = None
    """Below which functions are reached that answer HTTP, such as https://apps.example.com: each has a name of its
    own there, https://<label>.apps.example.com. By default http://localhost with the port of `--listen`, if that is of
    the loopback."""

    web_trusted: Annotated[tuple[Network, ...], BeforeValidator(parse_networks), NoDecode] = ()
    """Networks of proxies before the gateway, whose X-Forwarded-For, -Host and -Proto are believed: with commas."""

    web_head_bytes: int = Field(default=64 << 10, ge=1024, le=1 << 20)
    """The largest head of a request to a function that answers HTTP, in bytes; above it 431."""

    web_body_bytes: int = Field(default=4 << 30, ge=0)
    """The largest body of such a request, in bytes; above it 413."""

    web_idle_s: float = Field(default=60, gt=0, le=86_400)
    """How long such a request may pause while it is sent (408), and its response while nobody reads it, in seconds."""

    web_wait_s: float = Field(default=300, gt=0, le=86_400)
    """How long such a request waits for a container, in seconds; then 504."""

    web_waiting: int = Field(default=1000, ge=0, le=100_000)
    """How many requests of one function wait for a container; further ones get 503."""

    engine: Literal["local", "nomad"] = "local"
    """Where containers come from. `local`: subprocesses of this machine, which are not isolated from it. `nomad`: a
    Nomad cluster."""

    python: HumanPath = Field(default_factory=lambda: Path(sys.executable))
    """The interpreter (3.9 or newer) that runs functions on the local engine; by default the server's own."""

    container_user: str = "nobody"
    """The user that containers of the local engine share when the server runs as root."""

    allow_unisolated: bool = False
    """Allow the local engine to serve more than this machine: whoever may deploy owns the server's account."""

    gpu_models: Annotated[Mapping[str, str], BeforeValidator(parse_gpu_models), NoDecode] = Field(default_factory=dict)
    """GPUs beyond the well-known ones, as `PRODUCT NAME=TYPE` with commas between, such as `NVIDIA A40=A10`. The names
    are those of `nvidia-smi -L`, the types those that a definition may ask for."""

    environments_dir: HumanPath = Field(default_factory=lambda values: default_environments_dir(values["run_dir"]))
    """Where the packages of functions with `requirements` are. Made with mode 0711; programs must be able to run from
    it. By default in the run directory or, where that is under /run, in /var/cache for root, else in ~/.cache."""

    requirements_env: Annotated[tuple[str, ...], BeforeValidator(parse_names), NoDecode] = ()
    """The server's variables that installers of packages get, with commas between, such as PIP_INDEX_URL,HTTPS_PROXY.
    Whoever may deploy can read them."""

    requirements_timeout_s: float = Field(default=900, gt=0, le=86_400)
    """How long installing a function's `requirements` may take, in seconds."""

    requirements_keep: Annotated[float, BeforeValidator(parse_duration), Field(gt=0)] = Field(
        default="7d", validate_default=True
    )
    """How long installed `requirements` are kept that no container uses: a number with s, m, h or d."""

    max_containers: int = Field(default=10, ge=1, le=10_000)
    """Containers of a function whose definition does not say how many it may have."""

    grace_s: float = Field(default_factory=lambda values: 600 if values.get("engine") == "nomad" else 60, gt=0, le=3600)
    """How long containers live without a server, in seconds; by default 60, and 600 on Nomad, where they outlive it."""

    cancel_grace_s: float = Field(default=5, gt=0, le=300)
    """How long a cancelled input may take to end before its worker is killed, in seconds."""

    retention: Annotated[float, BeforeValidator(parse_duration), Field(gt=0)] = Field(
        default="7d", validate_default=True
    )
    """How long ended calls and all about them are kept (results, errors, logs): a number with s, m, h or d."""

    stop_unknown_containers: bool = False
    """Let this start end containers that are this server's and unknown to its store, however many they are."""

    callback_allow: Annotated[tuple[Network, ...], BeforeValidator(parse_networks), NoDecode] = ()
    """Networks that callbacks may reach although they are not public: with commas, such as 10.0.0.0/8,fd00::/8."""

    body_limit_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """The largest request body, in bytes."""

    generator_limit_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """The most that is stored of what one call of a generator yields, in bytes; a call beyond it fails."""

    open_metrics: bool = False
    """Serve `/metrics` without credentials."""

    log_format: Literal["auto", "text", "json"] = "auto"
    """How the server logs to stderr: `auto` is text on a terminal and JSON elsewhere."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe event that is logged."""

    @property
    def store_url(self) -> str | None:
        """`store`, to connect with."""
        return None if self.store is None else self.store.get_secret_value()

    def installer_variables(self) -> Mapping[str, str]:
        """Those of `requirements_env`, with their values."""
        return {name: os.environ[name] for name in self.requirements_env}

    def driver_variables(self) -> Mapping[str, str]:
        """Where the server finds the libraries of the GPUs' driver, if the system's loader does not know it."""
        return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if os.environ.get(name)}

    @field_validator("requirements_env")
    @classmethod
    def _check_requirements_env(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.startswith(PREFIX):
                raise ValueError(f"{name} is the server's own, and would be readable for whoever may deploy")
            if name not in os.environ:
                raise ValueError(f"the server has no variable {name}: set it, or leave its name out")
        return names

    @field_validator("store")
    @classmethod
    def _check_store(cls, store: SecretStr | None) -> SecretStr | None:
        if store is not None:
            check_store_url(store.get_secret_value())
        return store

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            read_keys(key.get_secret_value())
        return key

    @model_validator(mode="after")
    def _check_one_secret_key(self) -> "Settings":
        if self.secret_key is not None and self.secret_key_file is not None:
            raise ValueError("secret_key and secret_key_file both give the key of secrets. Leave out one of the two")
        return self

    @model_validator(mode="after")
    def _check_durability(self) -> "Settings":
        if self.store is not None and self.durability is not None:
            raise ValueError(
                "durability is a choice of the store in SQLite, and store names a PostgreSQL, which promises what"
                " `power` does (its synchronous_commit decides). Leave out one of the two"
            )
        return self

    @model_validator(mode="after")
    def _check_places(self) -> "Settings":
        if self.run_dir.is_relative_to(self.data_dir):
            raise ValueError(
                f"run_dir {self.run_dir} is inside data_dir {self.data_dir}, which containers must not reach;"
                " choose a directory outside it"
            )
        return self

    @model_validator(mode="after")
    def _check_reach(self) -> "Settings":
        if self.engine == "local" and not self.listen.loopback and not self.allow_unisolated:
            raise ValueError(
                f"listening on {self.listen} lets other machines run code as this user: the local engine does not"
                " isolate containers. Add --allow-unisolated if everyone who can reach it may do that"
            )
        return self


def load(**flags: Any) -> Settings:
    """The settings of this start.

    Args:
        flags: fields given on the command line; None means not given.

    Raises:
        ValueError: a variable of the prefix that no setting has, or a value that breaks a rule.
    """
    for variable in os.environ:
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in OF_OTHERS and name.lower() not in Settings.model_fields:
            known = [PREFIX + field.upper() for field in Settings.model_fields]
            nearest = difflib.get_close_matches(variable, known, n=1)
            raise ValueError(f"unknown setting {variable}." + (f" Did you mean {nearest[0]}?" if nearest else ""))
    return Settings(**{name: value for name, value in flags.items() if value is not None})
