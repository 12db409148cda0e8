"""`yurt serve`."""

from collections.abc import Callable, Mapping
from typing import Any

import click
import uvloop
from pydantic import ValidationError

from yurt.app import serve as run_server
from yurt.cli.failures import CommandError, ExitCode
from yurt.settings import PREFIX, Settings, load

_FLAGS = {
    "data_dir": "DIR",
    "store": "URL",
    "listen": "HOST:PORT",
    "gateway_listen": "HOST:PORT",
    "web_url": "URL",
    "web_trusted": "NETWORK[,NETWORK]",
    "web_head_bytes": "BYTES",
    "web_body_bytes": "BYTES",
    "web_idle_s": "SECONDS",
    "web_wait_s": "SECONDS",
    "web_waiting": "N",
    "engine": "NAME",
    "python": "PATH",
    "run_dir": "DIR",
    "secret_key_file": "PATH",
    "container_user": "USER",
    "gpu_models": "MODEL=TYPE[,MODEL=TYPE]",
    "environments_dir": "DIR",
    "requirements_env": "NAME[,NAME]",
    "requirements_timeout_s": "SECONDS",
    "requirements_keep": "DURATION",
    "max_containers": "N",
    "grace_s": "SECONDS",
    "cancel_grace_s": "SECONDS",
    "retention": "DURATION",
    "callback_allow": "NETWORK[,NETWORK]",
    "body_limit_bytes": "BYTES",
    "generator_limit_bytes": "BYTES",
    "public_url": "URL",
    "nomad_address": "URL",
    "nomad_token_file": "PATH",
    "nomad_ca_file": "PATH",
    "nomad_namespace": "NAME",
    "nomad_region": "NAME",
    "nomad_datacenters": "NAME[,NAME]",
    "nomad_node_pool": "NAME",
    "default_image": "IMAGE",
    "nomad_user": "USER",
    "nomad_python": "PATH",
    "nomad_docker_network": "MODE",
    "nomad_mhz_per_core": "MHZ",
    "nomad_jobspecs": "DIR",
    "consul_address": "URL",
    "consul_token_file": "PATH",
    "consul_ca_file": "PATH",
}
_SWITCHES = ("allow_unisolated", "open_metrics", "stop_unknown_containers", "nomad_functions_may_command_cluster")
_CHOICES = {
    "nomad_driver": ("docker", "raw_exec"),
    "durability": ("process", "power"),
    "log_format": ("auto", "text", "json"),
    "log_level": ("debug", "info", "warning", "error"),
}


def _help(name: str) -> str:
    """What the settings say of a field, on one line, with its default and its variable."""
    field = Settings.model_fields[name]
    unset = field.is_required() or field.default_factory or field.default in (False, (), None)
    value = ",".join(field.default) if type(field.default) is tuple else field.default  # an Address is one, too
    default = "" if unset else f" [{value}]"
    return f"{' '.join((field.description or '').split())}{default} ({PREFIX}{name.upper()})"


def serve_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each setting that has a flag."""
    options = [
        *(click.option(_flag(name), name, metavar=shape, help=_help(name)) for name, shape in _FLAGS.items()),
        *(click.option(_flag(name), name, is_flag=True, default=None, help=_help(name)) for name in _SWITCHES),
        *(click.option(_flag(name), name, type=click.Choice(of), help=_help(name)) for name, of in _CHOICES.items()),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


_EPILOG = f"By variable alone, since others on this machine can read flags. {_help('secret_key')}"


@click.command(epilog=_EPILOG)
@serve_options
def serve(**flags: Any) -> None:
    """Run the server.

    The first start writes an administrator's token to admin-token in the data directory; on this machine the other
    commands find it, and the server, by themselves. Tell them of another --data-dir by YURT_DATA_DIR, and of another
    --listen by YURT_URL.
    """
    settings = read_settings(flags)
    click.get_current_context().exit(uvloop.run(run_server(settings)))


def read_settings(flags: Mapping[str, Any]) -> Settings:
    """The settings of flags and environment.

    Raises:
        CommandError: they make no sense.
    """
    try:
        return load(**flags)
    except ValidationError as error:
        raise CommandError(_reasons(error), "See: yurt serve --help", ExitCode.USAGE) from error
    except ValueError as error:
        raise CommandError(str(error), "See: yurt serve --help", ExitCode.USAGE) from error


def _reasons(error: ValidationError) -> str:
    """What is wrong with each setting, one a line."""
    return "\n".join(
        ": ".join([*map(str, found["loc"]), found["msg"].removeprefix("Value error, ")])
        for found in error.errors()
        if found["type"] != "default_factory_not_called"  # only that another one is wrong
    )
